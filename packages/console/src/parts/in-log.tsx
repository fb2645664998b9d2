import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import { Go } from './go.tsx'

/** Leads to the entries that say who brought something into its state, when and why; for whoever may read them. */
export function InLog({ filters }: { filters: Readonly<Record<string, string>> }) {
  const { can } = useSession()
  const { t } = useTranslation()
  if (!can('audit.events')) return null
  return (
    <Go to="audit" filters={filters} className="small in-log">
      {t('action.inLog')}
    </Go>
  )
}
