import { Progress, Select } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import type { Artifact, Run } from '@writ/api'
import { useState } from 'react'
import { useTranslation } from 'react-i18next'
import { bytes, listed } from '../app/format.ts'
import { useSession } from '../app/session.tsx'
import type { VerifiedTrail } from '../proof/verify-trail.ts'
import { Hint, Mono } from './bits.tsx'
import { FileDrop } from './file-drop.tsx'
import { GoneFiles } from './gone-files.tsx'
import { Icon } from './icons.tsx'
import { plainText } from './plain-text.ts'
import { Difference, Preview } from './preview.tsx'
import { Answer, Refusal } from './states.tsx'

/** The files of a run: what they are, what they hold, and what changed between before and after. */
export function Artifacts(props: {
  run: Pick<Run, 'id' | 'number'>
  heading?: boolean
  /** What the log says of the run, once it is known: some files may be gone. */
  entries?: VerifiedTrail['entries'] | undefined
}) {
  const { run, heading, entries } = props
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const [looking, setLooking] = useState<Artifact | null>(null)
  const files = useQuery({
    queryKey: [project, 'artifacts', run.id],
    queryFn: () => client.all('artifacts.ofRun', { params: { id: run.id } }),
  })
  return (
    <Answer of={files} lines={2}>
      {(list) => (
        <div>
          {list.length === 0 && <p className="dimmed small">{t('artifact.none')}</p>}
          {list.length > 0 && (
            <ul className="files" aria-label={heading ? undefined : t('artifact.list', { number: run.number })}>
              {list.map((file) => (
                <li key={file.id}>
                  <button type="button" className="file-name" onClick={() => setLooking(file)}>
                    <Icon name="file" size={14} /> {plainText(file.filename)}
                  </button>
                  {file.role && <span className="tag">{t(`evidence.${file.role}`)}</span>}
                  {file.artifact_type === 'report' && <span className="tag">{t('artifact.report')}</span>}
                  {file.findings && file.findings.length > 0 && (
                    <Hint
                      text={t('artifact.flagged', {
                        kinds: listed(
                          file.findings.map(({ kind, count }) => `${kind} × ${count}`),
                          i18n.language,
                        ),
                      })}
                    >
                      <span className="tag tag-warn">
                        <Icon name="warning" size={12} /> {t('artifact.secret')}
                      </span>
                    </Hint>
                  )}
                  <span className="file-more">
                    <span className="dimmed">{bytes(file.size_bytes)}</span>
                    <Mono value={file.sha256_hash} keep={5} label={`SHA-256 ${file.filename}`} />
                  </span>
                </li>
              ))}
            </ul>
          )}
          {entries && <GoneFiles run={run.id} entries={entries} />}
          {pairsOf(list).map(([before, after]) => (
            <Difference key={after.id} before={before} after={after} />
          ))}
          <Preview artifact={looking} close={() => setLooking(null)} />
        </div>
      )}
    </Answer>
  )
}

/** Files from before with those from after: by name, and where there is one of each, those. */
function pairsOf(files: readonly Artifact[]): [Artifact, Artifact][] {
  const [before, after] = (['before', 'after'] as const).map((role) => files.filter((file) => file.role === role))
  if (before?.length === 1 && after?.length === 1) return [[before[0]!, after[0]!]]
  return (after ?? []).flatMap((file) => {
    const old = before?.find(({ filename }) => filename === file.filename)
    return old ? [[old, file] as [Artifact, Artifact]] : []
  })
}

/** Where files are dropped: each goes up at once, and says how far it is. */
export function Dropzone({ run, compact = false }: { run: Pick<Run, 'id' | 'number'>; compact?: boolean }) {
  const { client, project } = useSession()
  const { t } = useTranslation()
  const queries = useQueryClient()
  const [role, setRole] = useState<string | null>(null)
  const [sending, setSending] = useState<
    readonly { name: string; state: 'going' | 'done' | 'failed'; error?: unknown }[]
  >([])

  const send = async (files: readonly File[]) => {
    const from = sending.length
    setSending((all) => [...all, ...files.map(({ name }) => ({ name, state: 'going' as const }))])
    const settle = (at: number, state: 'done' | 'failed', error?: unknown) =>
      setSending((all) => all.map((one, i) => (i === at ? { ...one, state, error } : one)))
    // Together, so that the check does not begin between two of them: the server waits for uploads under way.
    await Promise.all(
      files.map(async (file, i) => {
        try {
          const query = { run_id: run.id, ...(role === null ? {} : { role: role as 'before' | 'after' }) }
          await client.artifacts.upload({ query, file })
          settle(from + i, 'done')
        } catch (error) {
          settle(from + i, 'failed', error)
        }
      }),
    )
    void queries.invalidateQueries({ queryKey: [project, 'artifacts', run.id] })
  }
  return (
    <FileDrop
      take={send}
      compact={compact}
      invitation={
        <>
          <Icon name="upload" size={22} />
          <p>{t('artifact.drop')}</p>
        </>
      }
      beside={
        <Select
          aria-label={t('evidence.role')}
          placeholder={t('evidence.noRole')}
          data={(['before', 'after'] as const).map((value) => ({ value, label: t(`evidence.${value}`) }))}
          value={role}
          onChange={setRole}
          clearable
          size="xs"
          w={150}
        />
      }
    >
      {sending.length > 0 && (
        <ul className="sending" aria-live="polite">
          {sending.map(({ name, state, error }, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: only ever appended to
            <li key={i}>
              <Icon name={state === 'done' ? 'check' : state === 'failed' ? 'cross' : 'upload'} size={13} /> {name}
              {state === 'going' && <Progress value={100} animated size="xs" w={80} aria-label={name} />}
              {state === 'failed' && <Refusal error={error} />}
            </li>
          ))}
        </ul>
      )}
    </FileDrop>
  )
}
