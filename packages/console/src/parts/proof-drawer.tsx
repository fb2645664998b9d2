import { Drawer } from '@mantine/core'
import type { Trail } from '@writ/api'
import { toBase64 } from '@writ/tlog'
import { useEffect } from 'react'
import { useTranslation } from 'react-i18next'
import { listed } from '../app/format.ts'
import { preferences } from '../app/page-settings.ts'
import type { Check, VerifiedEntry, VerifiedTrail } from '../proof/verify-trail.ts'
import { sayFound } from '../words/index.ts'
import { Mono, Time } from './bits.tsx'
import { Code } from './code.tsx'
import { areSeveral, useEntryNumber } from './entry-number.ts'
import { useHappened } from './happened.ts'
import { Icon } from './icons.tsx'
import { type StationName, stationOfEvent } from './seal.ts'
import { Answer, Empty } from './states.tsx'
import { useTrail } from './trail.ts'

type Subject = { type: 'ticket' | 'run'; number: number }

/** What proves a station of the seal line: statements, signatures and inclusion proofs, each checked on this machine. */
export function ProofDrawer(props: {
  subject: Subject
  station: StationName | null
  close: () => void
  /** Where an event belongs, if not where those of tickets and proofs do. */
  stationOf?: (type: string) => StationName
}) {
  const { subject, station, close, stationOf = stationOfEvent } = props
  const { t } = useTranslation()
  const trail = useTrail(subject.type, subject.number)
  return (
    <Drawer
      opened={station !== null}
      onClose={close}
      position="right"
      size="lg"
      title={station === null ? '' : `${t(`seal.${station}`)} · ${t('proof.title')}`}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {station !== null && (
        <Answer of={trail} lines={6}>
          {({ trail: shown, verified }) => (
            <Proofs station={station} trail={shown} verified={verified} stationOf={stationOf} />
          )}
        </Answer>
      )}
    </Drawer>
  )
}

function Proofs(props: {
  station: StationName
  trail: Trail
  verified: VerifiedTrail
  stationOf: (type: string) => StationName
}) {
  const { station, trail, verified, stationOf } = props
  const { t } = useTranslation()
  // Everything is sealed; the other stations have their own events.
  const own = verified.entries.filter(({ shown }) => station === 'sealed' || stationOf(shown.event_type) === station)
  const bad = own.some(({ good }) => !good)
  return (
    <div className="proofs">
      {own.length === 0 ? (
        <Empty
          icon="clock"
          title={t('proof.none')}
          text={trail.pending > 0 ? t('proof.pending', { count: trail.pending }) : t('proof.noneText')}
        />
      ) : (
        <p className={bad ? 'verdict verdict-bad' : 'verdict verdict-good'} role="status">
          <Icon name={bad ? 'cross' : 'check'} size={18} />
          {bad ? t('proof.bad') : t('proof.good', { count: own.length })}
        </p>
      )}
      {trail.pending > 0 && own.length > 0 && (
        <p className="dimmed small">{t('proof.pending', { count: trail.pending })}</p>
      )}
      {trail.more && <p className="dimmed small">{t('proof.more')}</p>}
      {own.map((one) => (
        <Entry key={`${one.shown.shard}/${one.shown.log_index}`} one={one} trail={trail} />
      ))}
      <Rests trail={trail} verified={verified} />
    </div>
  )
}

function Entry({ one, trail }: { one: VerifiedEntry; trail: Trail }) {
  const { t } = useTranslation()
  const told = useHappened()
  const entryNumber = useEntryNumber(areSeveral(trail.logs))
  const { shown, entry, event, checks, statements } = one
  const signatures = trail.signatures.filter(({ statement }) =>
    statements.some(
      (made) =>
        JSON.parse(statement)._type === made._type &&
        shown.event_type === 'ticket.approved' &&
        statement.includes(made.subject[0]?.digest.sha256 ?? '-'),
    ),
  )
  return (
    <article className="proof">
      <header>
        <strong>{shown.event_type}</strong>
        <span className="dimmed">
          {entryNumber(shown.shard, shown.log_index)} · <Time at={entry?.t ?? null} />
        </span>
      </header>
      {event && <p className="small">{told({ ...(event as object), event_type: shown.event_type })}</p>}
      <ul className="checks">
        {checks.map((check, i) => (
          // Checks of one entry in the order in which they were made.
          // biome-ignore lint/suspicious/noArrayIndexKey: they never move
          <CheckLine key={i} check={check} />
        ))}
      </ul>
      {signatures.map((one) => (
        <p key={one.approval_id} className="small">
          <Icon name="key" size={13} /> {t(one.type === 'ssh' ? 'proof.ssh' : 'proof.passkey')}{' '}
          <Mono value={one.fingerprint} keep={10} />
        </p>
      ))}
      <details>
        <summary>{t('proof.details')}</summary>
        {statements.map((statement) => (
          <div key={statement.predicateType + String(statement.subject[0]?.name)}>
            <h3>{t('proof.statement')}</h3>
            <Code>{JSON.stringify(statement, null, 2)}</Code>
          </div>
        ))}
        <h3>{t('proof.entry')}</h3>
        <Code>{entry ? JSON.stringify(entry, null, 2) : shown.entry}</Code>
        {shown.payload !== null && (
          <>
            <h3>{t('proof.payload')}</h3>
            <Code>{JSON.stringify(event ?? shown.payload, null, 2)}</Code>
          </>
        )}
        {shown.hashes !== null && (
          <>
            <h3>{t('proof.inclusion')}</h3>
            <Code>{shown.hashes.join('\n') || t('proof.only')}</Code>
          </>
        )}
      </details>
    </article>
  )
}

export function CheckLine({ check }: { check: Check }) {
  const { t } = useTranslation()
  const icon = check.state === 'good' ? 'check' : check.state === 'bad' ? 'cross' : 'dots'
  return (
    <li className={`check check-${check.state}`}>
      <Icon name={icon} size={14} className="icon-bold" />
      <span>
        {t(`check.${check.what}`)}
        {check.state !== 'good' && (
          <span className="dimmed"> · {check.reason === undefined ? t('check.notDone') : sayFound(check.reason)}</span>
        )}
      </span>
    </li>
  )
}

/** What all of it rests on. A key that this browser has not seen before is said to be new: it may be another's. */
function Rests({ trail, verified }: { trail: Trail; verified: VerifiedTrail }) {
  const { t, i18n } = useTranslation()
  return (
    <section className="rests">
      <h3>{t('proof.rests')}</h3>
      <p className="small dimmed">{t('proof.restsText')}</p>
      {trail.logs.map((log) => {
        const at = verified.checkpoints.get(log.shard)
        const vkey = log.vkeys.at(-1) ?? ''
        return (
          <div key={log.shard} className="rest">
            <span className="small dimmed">
              {areSeveral(trail.logs) ? t('proof.logKeyOf', { shard: log.shard }) : t('proof.logKey')}
            </span>
            <Mono value={vkey} keep={14} />
            <KeySeen origin={log.origin} vkey={log.vkeys[0] ?? ''} />
            {at && (
              <>
                <span className="small dimmed">{t('proof.checkpoint', { size: at.size })}</span>
                <Mono value={toBase64(at.root)} keep={10} />
              </>
            )}
            <span className="small">
              {log.anchored
                ? t('proof.anchored', {
                    size: log.anchored.size,
                    names:
                      listed(
                        log.anchored.witnesses.map(({ name }) => name),
                        i18n.language,
                      ) || '–',
                  })
                : t('proof.notAnchored')}
            </span>
          </div>
        )
      })}
    </section>
  )
}

/** What this browser had kept of a log when the page was opened: what the page itself kept is nothing that was seen before. */
const keptBefore = new Map<string, string | null>()

function keyBefore(origin: string): string | null {
  const name = `log-key ${origin}`
  const before = keptBefore.has(origin) ? (keptBefore.get(origin) ?? null) : preferences.get(name)
  keptBefore.set(origin, before)
  return before
}

/** The first key of a log, as this browser first saw it. Public, so it may be kept; a change of it is worth a question. */
function KeySeen({ origin, vkey }: { origin: string; vkey: string }) {
  const { t } = useTranslation()
  const kept = keyBefore(origin)
  useEffect(() => {
    if (kept === null) preferences.set(`log-key ${origin}`, vkey)
  }, [kept, origin, vkey])
  const state = kept === null ? 'keyFirst' : kept === vkey ? 'keySame' : 'keyOther'
  return <span className={state === 'keyOther' ? 'small refusal' : 'small dimmed'}>{t(`proof.${state}`)}</span>
}
