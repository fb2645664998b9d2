import type { Seal } from '@writ/api'
import { useTranslation } from 'react-i18next'
import { listed } from '../app/format.ts'
import { useHere } from '../app/here.tsx'
import { Person, Time } from './bits.tsx'
import { useEntryNumber } from './entry-number.ts'
import type { Station, StationName } from './seal.ts'

/** How far something came, in words: what a screen reader says of the whole line. */
function useWords(): (stations: readonly Station[]) => string {
  const { word, language } = useHere()
  return (stations) =>
    listed(
      stations.map(({ name, state }) => `${word(`seal.${name}`)}${word('error.colon')}${word(`station.${state}`)}`),
      language,
    )
}

function Dot({ state }: { state: Station['state'] }) {
  return (
    <svg className={`dot dot-${state}`} width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
      {state === 'witnessed' && <circle cx="8" cy="8" r="7.2" className="dot-outer" />}
      <circle cx="8" cy="8" r={state === 'witnessed' ? 4.2 : 5} className="dot-ring" />
      {state === 'done' && <path d="M5.400 8.200l1.800 1.800 3.400-3.800" className="dot-mark" />}
      {state === 'failed' && <path d="M5.600 5.600l4.800 4.800M10.400 5.600l-4.800 4.800" className="dot-mark" />}
      {state === 'now' && <circle cx="8" cy="8" r="2" className="dot-core" />}
    </svg>
  )
}

/** The line in a table row: 24 px high, nothing to press. */
export function SealLine({ stations }: { stations: readonly Station[] }) {
  const words = useWords()
  return (
    <span className="seal-line" role="img" aria-label={words(stations)} title={words(stations)}>
      {stations.map(({ name, state }) => (
        <span key={name} className={`seal-step seal-${state}`}>
          {Dot({ state })}
        </span>
      ))}
    </span>
  )
}

/** The line of a page: every station with who and when; a press opens what proves it. */
export function SealStations(props: {
  stations: readonly Station[]
  seal?: Seal | undefined
  /** Something of what proves it was checked in this page and does not fit. */
  broken?: boolean
  open: (station: StationName) => void
}) {
  const { seal, broken = false, open } = props
  // What the server says of the seal does not count against what was found here.
  const stations = props.stations.map((one) =>
    one.name === 'sealed' && broken ? { ...one, state: 'failed' as const } : one,
  )
  const { t } = useTranslation()
  const shard = seal?.last_shard ?? null
  const entryNumber = useEntryNumber(shard !== null)
  return (
    <ol className="seal-stations" aria-label={t('seal.title')}>
      {stations.map(({ name, state, who, when, index }) => (
        <li key={name} className={`seal-step seal-${state}`}>
          <button type="button" onClick={() => open(name)} title={t('seal.openProof')}>
            <Dot state={state} />
            <span className="seal-name">
              {t(`seal.${name}`)}
              <span className="unseen">
                {t('error.colon')}
                {t(`station.${state}`)}
              </span>
            </span>
            <span className="seal-fact">
              {name === 'sealed' ? (
                index !== null && index !== undefined ? (
                  <>
                    {entryNumber(shard, index)} ·{' '}
                    {t(
                      state === 'failed'
                        ? 'seal.broken'
                        : state === 'witnessed'
                          ? 'seal.witnessed'
                          : state === 'done'
                            ? 'seal.inLog'
                            : state === 'open'
                              ? 'seal.soFar'
                              : 'seal.pending',
                    )}
                  </>
                ) : (
                  t(state === 'now' ? 'seal.pending' : 'station.open')
                )
              ) : state === 'open' || state === 'unknown' ? (
                t(`station.${state}`)
              ) : (
                <>
                  {who !== null && who !== undefined && <Person number={who} />}
                  {who !== null && who !== undefined && when && ' · '}
                  {when ? <Time at={when} /> : who === null || who === undefined ? t(`station.${state}`) : null}
                </>
              )}
            </span>
          </button>
        </li>
      ))}
    </ol>
  )
}
