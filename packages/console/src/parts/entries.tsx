import { useTranslation } from 'react-i18next'
import { Actor, hasActor } from './actor.tsx'
import { Section, Time } from './bits.tsx'
import { areSeveral, useEntryNumber } from './entry-number.ts'
import { Erased } from './erased.tsx'
import { useHappened } from './happened.ts'
import { Icon } from './icons.tsx'
import { CheckLine } from './proof-drawer.tsx'
import { Answer } from './states.tsx'
import type { useTrail } from './trail.ts'

const detailsOf = (event: Readonly<Record<string, unknown>> | null): object =>
  typeof event?.details === 'object' ? { ...event.details } : {}

/**
 * Everything that the log holds about a run or a task, each entry with what was checked of it in this page. `handler`: of the task, which
 * readers from whom the payloads are kept would not know to be one.
 */
export function Entries({ of, handler }: { of: ReturnType<typeof useTrail>; handler?: string }) {
  const { t } = useTranslation()
  const told = useHappened()
  const entryNumber = useEntryNumber(areSeveral(of.data?.trail.logs ?? []))
  return (
    <Section title={t('run.entries')}>
      <Answer of={of} lines={4}>
        {({ verified, trail: shown }) => (
          <>
            {shown.pending > 0 && <p className="dimmed small">{t('proof.pending', { count: shown.pending })}</p>}
            {shown.pending === 0 && verified.entries.length === 0 && <p className="dimmed small">{t('proof.none')}</p>}
            <ul className="entries">
              {verified.entries.map((one) => (
                <li key={one.shown.event_id}>
                  <details>
                    <summary>
                      <Icon name={one.good ? 'check' : 'cross'} size={14} className={one.good ? 'good' : 'bad'} />
                      <strong>
                        {told({
                          ...one.event,
                          event_type: one.shown.event_type,
                          ...(handler === undefined ? {} : { details: { ...detailsOf(one.event), handler } }),
                        })}{' '}
                        <Erased one={one} entries={verified.entries} number={entryNumber} />
                      </strong>
                      <span className="number">{entryNumber(one.shown.shard, one.shown.log_index)}</span>
                      <span className="push dimmed small">
                        {hasActor(one) && (
                          <>
                            <Actor of={one} /> ·{' '}
                          </>
                        )}
                        <Time at={one.entry?.t ?? null} />
                      </span>
                    </summary>
                    <ul className="checks">
                      {one.checks.map((check, i) => (
                        // biome-ignore lint/suspicious/noArrayIndexKey: in the order in which they were made
                        <CheckLine key={i} check={check} />
                      ))}
                    </ul>
                  </details>
                </li>
              ))}
            </ul>
          </>
        )}
      </Answer>
    </Section>
  )
}
