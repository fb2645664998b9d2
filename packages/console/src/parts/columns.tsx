import { ActionIcon, Menu } from '@mantine/core'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { preferences } from '../app/page-settings.ts'
import { createStore, useStore } from '../app/store.ts'
import { Icon } from './icons.tsx'

/** Which columns of a list are left out, as this browser remembers it. The first one says what the row is and always stays. */
export function useColumnChoice(list: string): [ReadonlySet<string>, (name: string) => void] {
  const key = `columns-${list}`
  const [hidden, setHidden] = useState<ReadonlySet<string>>(
    () => new Set((preferences.get(key) ?? '').split(' ').filter(Boolean)),
  )
  const toggle = (name: string) => {
    const next = new Set(hidden)
    if (!next.delete(name)) next.add(name)
    preferences.set(key, [...next].join(' '))
    setHidden(next)
  }
  return [hidden, toggle]
}

/** Whether rows of lists stand close, in all lists of this browser. */
const dense = createStore(preferences.get('dense') === '1')
export const useDense = (): boolean => useStore(dense)

export function ColumnChoice(props: {
  columns: readonly { readonly name: string; readonly title: string }[]
  hidden: ReadonlySet<string>
  toggle: (name: string) => void
}) {
  const { columns, hidden, toggle } = props
  const { t } = useTranslation()
  const isDense = useDense()
  const setDense = (next: boolean) => {
    preferences.set('dense', next ? '1' : '0')
    dense.set(next)
  }
  return (
    <Menu position="bottom-end" closeOnItemClick={false}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="sm" className="column-choice" aria-label={t('list.columns')}>
          <Icon name="settings" size={14} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('list.columns')}</Menu.Label>
        {columns.map(({ name, title }) => (
          <Menu.CheckboxItem key={name} checked={!hidden.has(name)} onChange={() => toggle(name)}>
            {title}
          </Menu.CheckboxItem>
        ))}
        <Menu.Divider />
        <Menu.CheckboxItem checked={isDense} onChange={setDense}>
          {t('list.dense')}
        </Menu.CheckboxItem>
      </Menu.Dropdown>
    </Menu>
  )
}
