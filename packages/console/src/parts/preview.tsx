import { Button, Drawer } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Artifact } from '@writ/api'
import { useEffect, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { bytes as sizeText } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import { Mono } from './bits.tsx'
import { Icon } from './icons.tsx'
import { Answer } from './states.tsx'

/** More is downloaded, not shown. */
const MAX_BYTES = 2_000_000
const MAX_ROWS = 500
type Blobbed = Uint8Array<ArrayBuffer>

export type Shown =
  | { kind: 'text' | 'json'; text: string }
  | { kind: 'csv'; rows: string[][]; more: boolean }
  | { kind: 'image'; type: string; data: Blobbed }
  | { kind: 'binary' }

/** The bytes of an artifact, and whether they are those that were recorded: hashed in this browser. */
async function fetchArtifact(
  client: ReturnType<typeof useSession>['client'],
  artifact: Artifact,
  signal?: AbortSignal,
): Promise<{ data: Blobbed; good: boolean }> {
  const [download, { sha256 }, { toHex }] = await Promise.all([
    client.artifacts.download({ params: { id: artifact.id }, ...(signal ? { signal } : {}) }),
    import('@noble/hashes/sha2.js'),
    import('@writ/tlog'),
  ])
  const data = new Uint8Array(
    await new Response(download.stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer(),
  )
  return { data, good: toHex(sha256(data)) === artifact.sha256_hash }
}

/** Hands bytes to the person as a file. */
export function saveAs(data: Blobbed, name: string, type = 'application/octet-stream'): void {
  const url = URL.createObjectURL(new Blob([data], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

// By what the bytes are: the name is only a label. SVG is text here; as an image it could carry a script's wish.
const IMAGES: readonly [string, readonly number[]][] = [
  ['image/png', [0x89, 0x50, 0x4e, 0x47]],
  ['image/jpeg', [0xff, 0xd8, 0xff]],
  ['image/gif', [0x47, 0x49, 0x46, 0x38]],
]

async function shownAs(data: Blobbed, name: string): Promise<Shown> {
  const image = IMAGES.find(([, magic]) => magic.every((byte, i) => data[i] === byte))
  if (image) return { kind: 'image', type: image[0], data }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(data)
  } catch {
    return { kind: 'binary' }
  }
  if (/\.csv$/i.test(name)) {
    const { parse } = await import('csv-parse/browser/esm/sync')
    try {
      const rows = parse(text, { relax_column_count: true, to: MAX_ROWS + 1, skip_empty_lines: true }) as string[][]
      return { kind: 'csv', rows: rows.slice(0, MAX_ROWS), more: rows.length > MAX_ROWS }
    } catch {
      return { kind: 'text', text }
    }
  }
  try {
    if (/^\s*[[{]/.test(text)) return { kind: 'json', text: JSON.stringify(JSON.parse(text), null, 2) }
  } catch {
    // It begins like JSON and is none: shown as it is.
  }
  return { kind: 'text', text }
}

/** One artifact beside the page: text, JSON, table or image, and whether the bytes are those that were recorded. */
export function Preview({ artifact, close }: { artifact: Artifact | null; close: () => void }) {
  const { t } = useTranslation()
  return (
    <Drawer
      opened={artifact !== null}
      onClose={close}
      position="right"
      size="xl"
      title={artifact?.filename ?? ''}
      closeButtonProps={{ 'aria-label': t('action.close') }}
    >
      {artifact && <Inside artifact={artifact} />}
    </Drawer>
  )
}

function Inside({ artifact }: { artifact: Artifact }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const large = artifact.size_bytes > MAX_BYTES
  const content = useQuery({
    queryKey: ['bytes', artifact.id],
    enabled: !large,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    queryFn: async ({ signal }) => {
      const { data, good } = await fetchArtifact(client, artifact, signal)
      return { data, good, shown: await shownAs(data, artifact.filename) }
    },
  })
  return (
    <div className="preview">
      <p className="dimmed small">
        {sizeText(artifact.size_bytes)} · SHA-256 <Mono value={artifact.sha256_hash} keep={10} />
      </p>
      {large ? (
        <p>{t('artifact.tooLarge')}</p>
      ) : (
        <Answer of={content}>
          {({ data, good, shown }) => (
            <>
              <p className={good ? 'verdict verdict-good' : 'verdict verdict-bad'} role="status">
                <Icon name={good ? 'check' : 'cross'} /> {t(good ? 'artifact.sameBytes' : 'artifact.otherBytes')}
              </p>
              <Content shown={shown} name={artifact.filename} />
              <Button
                mt="sm"
                variant="default"
                leftSection={<Icon name="download" size={14} />}
                onClick={() => saveAs(data, artifact.filename)}
              >
                {t('action.download')}
              </Button>
            </>
          )}
        </Answer>
      )}
    </div>
  )
}

function Content({ shown, name }: { shown: Shown; name: string }) {
  const { t } = useTranslation()
  switch (shown.kind) {
    case 'image':
      return <Image of={shown} name={name} />
    case 'csv':
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        <div className="scroll" tabIndex={0}>
          <table className="plain lined">
            <thead>
              <tr>
                {shown.rows[0]?.map((cell, i) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: columns are their places
                  <th key={i}>{cell}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.rows.slice(1).map((row, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: rows are their places
                <tr key={i}>
                  {row.map((cell, j) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: as above
                    <td key={j}>{cell}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
          {shown.more && <p className="dimmed small">{t('artifact.moreRows', { count: MAX_ROWS })}</p>}
        </div>
      )
    case 'binary':
      return <p>{t('artifact.binary')}</p>
    default:
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
        <pre className="code tall" tabIndex={0}>
          {shown.text}
        </pre>
      )
  }
}

/** The address of an image is its own: what was fetched is kept, and may be looked at again when this address is gone. */
function Image({ of: { data, type }, name }: { of: Extract<Shown, { kind: 'image' }>; name: string }) {
  const [url, setUrl] = useState<string | null>(null)
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([data], { type }))
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [data, type])
  return url === null ? null : <img src={url} alt={name} className="preview-image" />
}

/** The difference between the evidence from before and from after, line by line. */
export function Difference({ before, after }: { before: Artifact; after: Artifact }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const [open, setOpen] = useState(false)
  const small = Math.max(before.size_bytes, after.size_bytes) <= MAX_BYTES
  const lines = useQuery({
    queryKey: ['diff', before.id, after.id],
    enabled: open && small,
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const { structuredPatch } = await import('diff')
      const [old, fresh] = await Promise.all([
        fetchArtifact(client, before, signal),
        fetchArtifact(client, after, signal),
      ])
      // Lines are compared, so what is no text is not.
      if ([old, fresh].some(({ data }) => data.subarray(0, 8_000).includes(0))) return null
      const text = (data: Uint8Array) => new TextDecoder().decode(data)
      const { hunks } = structuredPatch(before.filename, after.filename, text(old.data), text(fresh.data), '', '', {
        context: 3,
      })
      return hunks
    },
  })
  return (
    <details className="difference" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t('artifact.difference', { before: before.filename, after: after.filename })}</summary>
      {!small && <p>{t('artifact.tooLarge')}</p>}
      {open && small && (
        <Answer of={lines}>
          {(hunks) =>
            hunks === null ? (
              <p className="dimmed">{t('artifact.binary')}</p>
            ) : hunks.length === 0 ? (
              <p className="dimmed">{t('artifact.same')}</p>
            ) : (
              // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls
              <pre className="code tall diff" tabIndex={0}>
                {hunks.map((hunk) => (
                  <span key={`${hunk.oldStart}/${hunk.newStart}`}>
                    <span className="diff-at">{`@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@\n`}</span>
                    {hunk.lines.map((line, i) => (
                      <span
                        // biome-ignore lint/suspicious/noArrayIndexKey: lines are their places
                        key={i}
                        className={line.startsWith('+') ? 'diff-in' : line.startsWith('-') ? 'diff-out' : ''}
                      >
                        {`${line}\n`}
                      </span>
                    ))}
                  </span>
                ))}
              </pre>
            )
          }
        </Answer>
      )}
    </details>
  )
}
