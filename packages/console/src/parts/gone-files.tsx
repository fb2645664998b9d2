import { useQuery } from '@tanstack/react-query'
import { useTranslation } from 'react-i18next'
import { useSession } from '../app/session.tsx'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import { Actor, hasActor } from './actor.tsx'
import { Mono, State, Time } from './bits.tsx'
import { Icon } from './icons.tsx'
import { plainText } from './plain-text.ts'

type Entry = VerifiedTrail['entries'][number]

const GOES: readonly string[] = ['artifact.deleted', 'artifact.erased']

/** Of each file of the trail whose bytes are gone, the entry that says so: an erasure, which says why, before a deletion. */
function goneIn(entries: readonly Entry[]): ReadonlyMap<string, Entry> {
  const gone = new Map<string, Entry>()
  for (const one of entries) {
    const { event_type, resource_id } = one.shown
    if (!GOES.includes(event_type)) continue
    if (event_type === 'artifact.erased' || !gone.has(resource_id)) gone.set(resource_id, one)
  }
  return gone
}

/**
 * Files of a run that were erased or deleted: the list of its files has none of them, but they were judged. What they were called and
 * their hashes stay; who took them away, when and why is what the log says.
 */
export function GoneFiles({ run, entries }: { run: string; entries: readonly Entry[] }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const gone = goneIn(entries)
  const ids = [...gone.keys()]
  const files = useQuery({
    queryKey: [project, 'artifacts', 'gone', ids],
    queryFn: ({ signal }) => Promise.all(ids.map((id) => client.artifacts.get({ params: { id }, signal }))),
    enabled: ids.length > 0,
  })
  const here = (files.data ?? []).filter(({ run_id }) => run_id === run)
  if (here.length === 0) return null
  return (
    <ul className="files" aria-label={t('artifact.gone')}>
      {here.map((file) => {
        const by = gone.get(file.id)!
        const { entry, event } = by
        const ground = (event?.details as { ground?: unknown } | null | undefined)?.ground
        return (
          <li key={file.id}>
            <span className="breaks dimmed">
              <Icon name="file" size={14} /> {plainText(file.filename)}
            </span>
            <State of="disabled" word={t(file.erased_at === null ? 'artifact.deleted' : 'artifact.erased')} />
            <span className="small dimmed">
              {hasActor(by) && (
                <>
                  <Actor of={by} /> ·{' '}
                </>
              )}
              <Time at={entry?.t} />
            </span>
            <span className="file-more">
              <Mono value={file.sha256_hash} keep={5} label={`SHA-256 ${file.filename}`} />
            </span>
            {typeof ground === 'string' && <p className="file-why small dimmed">{plainText(ground)}</p>}
          </li>
        )
      })}
    </ul>
  )
}
