import { useParams } from '@tanstack/react-router'
import type { ComponentType } from 'react'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Page } from '../parts/bits.tsx'
import { Go } from '../parts/go.tsx'
import { Empty } from '../parts/states.tsx'
import { Keys } from './settings-keys.tsx'
import { Me } from './settings-me.tsx'
import { People } from './settings-people.tsx'
import { PolicyPart } from './settings-policy.tsx'
import { Projects } from './settings-projects.tsx'
import { Retention } from './settings-retention.tsx'
import { Tokens } from './settings-tokens.tsx'

type Part = 'me' | 'people' | 'tokens' | 'keys' | 'policy' | 'retention' | 'projects'
const parts: readonly { name: Part; needs?: string; show: ComponentType }[] = [
  { name: 'me', show: Me },
  { name: 'people', needs: 'users.list', show: People },
  { name: 'tokens', needs: 'tokens.list', show: Tokens },
  { name: 'keys', needs: 'signingKeys.list', show: Keys },
  { name: 'policy', needs: 'projects.policy', show: PolicyPart },
  { name: 'retention', needs: 'privacy.holds', show: Retention },
  { name: 'projects', show: Projects },
]

export function Settings() {
  const { can } = useSession()
  const { t } = useTranslation()
  const { part: wanted = 'me' } = useParams({ strict: false }) as { part?: string }
  const part = parts.find(({ name }) => name === wanted)
  const Shown = part?.show
  return (
    <Page name={part ? t(`settings.${part.name}`) : t('nav.settings')} title={t('nav.settings')}>
      <nav className="views" aria-label={t('nav.settings')}>
        {parts
          .filter(({ needs }) => needs === undefined || can(needs))
          .map(({ name }) => (
            <Go
              key={name}
              to={`settings/${name}`}
              className="view"
              {...(name === wanted ? { 'aria-current': 'page' as const } : {})}
            >
              {t(`settings.${name}`)}
            </Go>
          ))}
      </nav>
      {Shown === undefined ? (
        <Empty icon="search" title={t('error.noPage')} />
      ) : part?.needs && !can(part.needs) ? (
        <Empty icon="hand" title={t('error.denied')} text={t('settings.denied')} />
      ) : (
        <Shown />
      )}
    </Page>
  )
}
