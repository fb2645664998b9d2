import { TextInput } from '@mantine/core'
import { useDeferredValue, useMemo, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { count } from '../app/format.ts'
import { paintedOf, unpainted } from './ansi.ts'
import { Code } from './code.tsx'
import { Icon } from './icons.tsx'

/** What a task printed, by line; a search leaves the lines that hold it. */
export function SearchedLog({ text, label }: { text: string | null; label: string }) {
  const { t, i18n } = useTranslation()
  const [wanted, setWanted] = useState('')
  const needle = useDeferredValue(wanted.trim().toLowerCase())
  const lines = useMemo(
    () =>
      (text ?? '')
        .replace(/\n$/, '')
        .split('\n')
        .map((painted, i) => ({ painted, line: unpainted(painted), at: i + 1 })),
    [text],
  )
  if (text === null || text === '') return <p className="dimmed small">{t('run.noLog')}</p>
  const found = needle === '' ? lines : lines.filter(({ line }) => line.toLowerCase().includes(needle))
  return (
    <div>
      <div className="log-head">
        <TextInput
          type="search"
          size="xs"
          aria-label={label}
          placeholder={label}
          leftSection={<Icon name="search" size={13} />}
          value={wanted}
          onChange={(event) => setWanted(event.currentTarget.value)}
        />
        {needle !== '' && (
          <span className="dimmed small" role="status">
            {t('task.logFound', { count: found.length, all: count(lines.length, i18n.language) })}
          </span>
        )}
      </div>
      <Code tall>
        {found.map(({ painted, line, at }) => (
          <span key={at}>
            <span className="log-at">{String(at).padStart(4)}</span>{' '}
            {needle === '' ? <Line text={painted} /> : marked(line, needle)}
            {'\n'}
          </span>
        ))}
      </Code>
    </div>
  )
}

function marked(line: string, needle: string) {
  const at = line.toLowerCase().indexOf(needle)
  return (
    <>
      {line.slice(0, at)}
      <mark>{line.slice(at, at + needle.length)}</mark>
      {line.slice(at + needle.length)}
    </>
  )
}

/** A line in the colours in which it was printed. */
export function Line({ text }: { text: string }) {
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
