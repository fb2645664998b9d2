import { Button, Select, Switch, TextInput } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { memo, useDeferredValue, useEffect, useLayoutEffect, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { type LogRow, useTaskLog } from '../app/task-log.ts'
import { paintedOf, unpainted } from './ansi.ts'
import { Icon } from './icons.tsx'
import { Loading } from './states.tsx'

const ROW = 19
/** So much of a line is drawn; the rest is in the copy. */
const MOST_DRAWN = 2_000

/**
 * What a task prints, attempt by attempt, as it comes. Only lines in view are drawn. It stays at the end until somebody scrolls up, and
 * goes on when they are back there.
 */
export function TaskLogView({ task, attempts }: { task: string; attempts: number }) {
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const [chosen, choose] = useState<number | null>(null)
  const [wanted, setWanted] = useState('')
  const [follows, setFollows] = useState(true)
  const needle = useDeferredValue(wanted.trim().toLowerCase())
  const log = useTaskLog(client, task, chosen)
  useEffect(() => log.search(needle), [log, needle])
  const rows = log.shown
  const { last } = log
  // Until the first answer nothing is known of it, not even that there is nothing.
  const running = last !== null && (log.mode === 'live' || log.mode === 'polling')

  const scroller = useRef<HTMLDivElement>(null)
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 8,
  })
  const toEnd = () => scroller.current?.scrollTo({ top: scroller.current.scrollHeight })
  // biome-ignore lint/correctness/useExhaustiveDependencies: it moves when there are more lines
  useLayoutEffect(() => {
    if (follows) toEnd()
  }, [rows.length, rows.at(-1)?.at, follows])
  const seenTop = useRef(0)
  const scrolled = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!
    // Lines that come do not move what is in view: only somebody who reads does.
    if (scrollTop < seenTop.current - 2 && scrollHeight - scrollTop - clientHeight > ROW) setFollows(false)
    else if (scrollTop > seenTop.current && scrollHeight - scrollTop - clientHeight < 2) setFollows(true)
    seenTop.current = scrollTop
  }

  const empty = log.lines === 0
  return (
    <div className="task-log">
      <div className="log-head">
        <TextInput
          type="search"
          size="xs"
          aria-label={t('task.logSearch')}
          placeholder={t('task.logSearch')}
          leftSection={<Icon name="search" size={13} />}
          value={wanted}
          onChange={(event) => setWanted(event.currentTarget.value)}
        />
        {attempts > 1 && (
          <Select
            size="xs"
            w={150}
            aria-label={t('run.attempt')}
            allowDeselect={false}
            data={[
              { value: '', label: t('task.logNewest') },
              ...Array.from({ length: attempts }, (_, i) => ({
                value: String(i + 1),
                label: t('task.attempt', { number: i + 1 }),
              })),
            ]}
            value={chosen === null ? '' : String(chosen)}
            onChange={(value) => choose(value ? Number(value) : null)}
          />
        )}
        {needle !== '' && (
          <span className="dimmed small" role="status">
            {t('task.logFound', { count: rows.length, all: count(log.lines, i18n.language) })}
          </span>
        )}
        {running && (
          <Switch
            size="xs"
            className="push"
            label={t('task.logFollow')}
            checked={follows}
            onChange={(event) => setFollows(event.currentTarget.checked)}
          />
        )}
        {log.lines > 20 && (
          <Button
            size="compact-xs"
            variant="subtle"
            className={running ? '' : 'push'}
            leftSection={<Icon name="down" size={12} />}
            onClick={toEnd}
          >
            {t('task.logEnd')}
          </Button>
        )}
      </div>
      {last === null ? (
        log.mode !== 'failed' && <Loading lines={1} />
      ) : empty ? (
        <p className="dimmed small">{t(running ? 'task.logNothingYet' : 'run.noLog')}</p>
      ) : (
        // biome-ignore lint/a11y/useSemanticElements: a part of a section that has its heading
        <div
          className="code log-lines"
          ref={scroller}
          onScroll={scrolled}
          role="region"
          aria-label={t('run.log')}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
          tabIndex={0}
        >
          <div className="log-all" style={{ height: virtual.getTotalSize() }}>
            <div
              className="log-drawn"
              style={{ transform: `translateY(${virtual.getVirtualItems()[0]?.start ?? 0}px)` }}
            >
              {virtual.getVirtualItems().map(({ index }) => (
                <Row key={rows[index]!.at} row={rows[index]!} needle={needle} />
              ))}
            </div>
          </div>
        </div>
      )}
      <p className="dimmed small log-foot" role="status">
        {last?.outcome === 'lost' && `${t('task.logLost')} `}
        {log.mode === 'failed' && t('task.logFailed')}
        {log.mode === 'polling' && t('task.logPolling')}
        {log.mode === 'live' && last !== null && t('task.logLive', { number: last.attempt })}
      </p>
    </div>
  )
}

/** Made anew when the line is another, not when others come. */
const Row = memo(function Row({ row, needle }: { row: LogRow; needle: string }) {
  if (row.until !== undefined) return <Gap from={row.at} to={row.until} />
  const text = row.text.length > MOST_DRAWN ? `${row.text.slice(0, MOST_DRAWN)} …` : row.text
  return (
    <div className="log-row">
      <span className="log-at">{row.at}</span>
      {needle === '' ? <Line text={text} /> : marked(unpainted(text), needle)}
    </div>
  )
})

function Gap({ from, to }: { from: number; to: number }) {
  const { t, i18n } = useTranslation()
  return (
    <div className="log-row log-gap">
      {t('task.logGap', { from: count(from, i18n.language), to: count(to, i18n.language) })}
    </div>
  )
}

function marked(line: string, needle: string) {
  const at = line.toLowerCase().indexOf(needle)
  if (at < 0) return line
  return (
    <>
      {line.slice(0, at)}
      <mark>{line.slice(at, at + needle.length)}</mark>
      {line.slice(at + needle.length)}
    </>
  )
}

/** A line in the colours in which it was printed. */
function Line({ text }: { text: string }) {
  return paintedOf(text).map(({ text: part, look }, i) =>
    look === '' ? (
      part
    ) : (
      // biome-ignore lint/suspicious/noArrayIndexKey: parts are their places
      <span key={i} className={look}>
        {part}
      </span>
    ),
  )
}
