import { ActionIcon, Menu, useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { useTranslation } from 'react-i18next'
import { Icon } from '../parts/icons.tsx'
import { languages, speak } from '../words/index.ts'

/** Dark or light; the first time as the system says. */
export function ThemeButton() {
  const { t } = useTranslation()
  const { setColorScheme } = useMantineColorScheme()
  const current = useComputedColorScheme('light')
  const other = current === 'dark' ? 'light' : 'dark'
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      aria-label={t(`theme.${other}`)}
      title={t(`theme.${other}`)}
      onClick={() => setColorScheme(other)}
    >
      <Icon name={current === 'dark' ? 'sun' : 'moon'} />
    </ActionIcon>
  )
}

export function LanguageButton() {
  const { t, i18n } = useTranslation()
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={t('language.choose')} title={t('language.choose')}>
          <Icon name="language" />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {Object.entries(languages).map(([code, name]) => (
          <Menu.Item
            key={code}
            lang={code}
            onClick={() => void speak(code)}
            leftSection={<Icon name="check" size={14} opacity={i18n.language === code ? 1 : 0} />}
          >
            {name}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  )
}
