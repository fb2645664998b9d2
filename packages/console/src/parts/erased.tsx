import { useTranslation } from 'react-i18next'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import type { useEntryNumber } from './entry-number.ts'

type Entry = VerifiedTrail['entries'][number]

/** Of an entry whose text was erased: that it was, and which entry of the trail says by whom and why. Nothing of others. */
export function Erased(props: { one: Entry; entries: readonly Entry[]; number: ReturnType<typeof useEntryNumber> }) {
  const { one, entries, number } = props
  const { t } = useTranslation()
  if (!one.shown.erased) return null
  const by = entries.find(
    ({ shown }) => shown.event_type === 'payload.erased' && shown.resource_id === one.shown.event_id,
  )
  return (
    <span className="dimmed small">
      {by ? t('happened.erased', { index: number(by.shown.shard, by.shown.log_index) }) : t('happened.erasedElsewhere')}
    </span>
  )
}
