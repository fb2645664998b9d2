import { Button, FileButton } from '@mantine/core'
import type { RuleTrial } from '@writ/api'
import { WritError } from '@writ/sdk'
import { lazy, Suspense, useMemo, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { patient } from '../app/patient.ts'
import { useSession } from '../app/session.tsx'
import { Ask } from '../parts/ask.tsx'
import { Page, RunStateBadge, Section } from '../parts/bits.tsx'
import { useDraft } from '../parts/draft.tsx'
import { Findings, type Report } from '../parts/findings.tsx'
import { Go, useFilters, useGo } from '../parts/go.tsx'
import { Icon } from '../parts/icons.tsx'
import { FIRST_RULES, type RuleText, readRules, writeRules } from '../parts/rule-text.ts'
import { Answer, Empty, Refusal, useFaultWords } from '../parts/states.tsx'
import { SummaryText } from '../parts/summary-text.tsx'
import { TrialDrop } from '../parts/trial-drop.tsx'
import { type TrialFile, tooMuch } from '../parts/trial-files.ts'
import { sayFound } from '../words/index.ts'
import { useRuleSets } from './rules.tsx'

const Editor = lazy(() => patient(() => import('../parts/editor.tsx')))

/** Where rules are written: tried on files as often as one likes, and then published. */
export function WriteRules() {
  const { can } = useSession()
  const { t } = useTranslation()
  const [{ from }] = useFilters()
  const sets = useRuleSets()
  const title = t('rules.write')
  const back = (
    <Go to="rules" className="back">
      <Icon name="left" size={13} /> {t('nav.rules')}
    </Go>
  )
  return (
    <Page name={title} title={title} above={back}>
      {!can('rules.try') ? (
        <Empty icon="hand" title={t('error.denied')} text={t('rules.denied')} />
      ) : (
        <Answer of={sets}>
          {(list) => {
            const set = list.find(({ name, version }) => from === `${name}@${version}`)
            if (from !== undefined && !set) return <Empty icon="search" title={t('error.missing')} />
            const first = set ? writeRules(set.name, set.definition as Record<string, unknown>) : FIRST_RULES
            return <Workbench key={from ?? ''} from={from ?? null} first={first} />
          }}
        </Answer>
      )}
    </Page>
  )
}

/** A verdict, and the text that it was about. */
interface Tried {
  readonly trial: RuleTrial
  readonly text: string
  readonly files: readonly TrialFile[]
}

function Workbench({ from, first }: { from: string | null; first: string }) {
  const { client, can } = useSession()
  const { t } = useTranslation()
  const draft = useDraft(`rules ${from ?? ''}`, first)
  const { value: text, write } = draft
  // The editor has its own text; another one is another editor.
  const [shown, setShown] = useState({ text, turn: 0 })
  const [files, setFiles] = useState<readonly TrialFile[]>([])
  const [tried, setTried] = useState<Tried | null>(null)
  const [refused, setRefused] = useState<{ error: unknown; text: string } | null>(null)
  const [busy, setBusy] = useState(false)
  const [goTo, setGoTo] = useState<{ line: number } | null>(null)
  const [asking, setAsking] = useState(false)
  const read = useMemo(() => readRules(text), [text])
  const faults = useFaults(refused?.text === text ? refused.error : null, read)
  const marks = useMemo(() => faults.map(({ line }) => line), [faults])
  const excess = read.ok ? tooMuch(files, JSON.stringify(read.definition)) : null

  const replace = (next: string) => {
    write(next)
    setShown(({ turn }) => ({ text: next, turn: turn + 1 }))
  }
  const attempt = async () => {
    if (busy || !read.ok || files.length === 0 || excess !== null) return
    setBusy(true)
    setRefused(null)
    try {
      const trial = await client.rules.try({
        body: {
          definition: read.definition,
          files: files.map(({ name, content, role }) => ({ name, content, ...(role === null ? {} : { role }) })),
        },
      })
      setTried({ trial, text, files })
    } catch (error) {
      setTried(null)
      setRefused({ error, text })
    } finally {
      setBusy(false)
    }
  }
  const ready = read.ok && files.length > 0 && excess === null
  // What is about the text stands at the text; whatever else was refused, at the button.
  const elsewhere = refused !== null && !isAboutText(refused.error) ? refused.error : null
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a key beside the button, from wherever one writes
    <div
      className="workbench"
      onKeyDown={(event) => {
        if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || asking) return
        event.preventDefault()
        void attempt()
      }}
    >
      <Section
        title={t('rules.text')}
        actions={
          <>
            <OpenText open={replace} />
            {text !== first && (
              <Button variant="default" onClick={() => replace(first)}>
                {t('rules.reset')}
              </Button>
            )}
          </>
        }
      >
        <Suspense fallback={<div className="editor" />}>
          <Editor
            key={shown.turn}
            label={t('rules.text')}
            text={shown.text}
            change={write}
            language="yaml"
            rows={20}
            invalid={faults.length > 0}
            marks={marks}
            at={goTo}
          />
        </Suspense>
        {faults.length > 0 && (
          <div className="refusal" role={read.ok ? 'alert' : 'status'}>
            <ul className="found">
              {faults.map(({ line, place, sentence }) => (
                <li key={`${place} ${sentence}`} className="found-error">
                  <Icon name="warning" size={14} />
                  <span>
                    <button type="button" className="link" onClick={() => setGoTo({ line })}>
                      {t('rules.line', { line })}
                    </button>{' '}
                    {place !== '' && <code>{place}</code>} {sentence}
                  </span>
                </li>
              ))}
            </ul>
          </div>
        )}
        <p className="dimmed small">
          {t('rules.textHint')} <a href="/docs/checks">{t('rules.docs')}</a>
        </p>
      </Section>
      <div>
        <Section title={t('rules.files')}>
          <TrialDrop files={files} set={setFiles} />
          {excess !== null && (
            <p className="refusal" role="alert">
              <Icon name="warning" size={14} /> {t(`rules.excess_${excess}`)}
            </p>
          )}
          <div className="form-buttons">
            <Button onClick={() => void attempt()} loading={busy} disabled={!ready}>
              {t('rules.try')}
            </Button>
            {can('rules.publish') ? (
              <Button variant="default" disabled={!read.ok} onClick={() => setAsking(true)}>
                {t('rules.publish')}
              </Button>
            ) : (
              <SaveText read={read} text={text} />
            )}
            <span className="dimmed small">
              {!read.ok
                ? t('rules.textFirst')
                : files.length === 0
                  ? t('rules.filesFirst')
                  : can('rules.publish')
                    ? ''
                    : t('rules.adminsPublish')}
            </span>
          </div>
          <Refusal error={elsewhere} />
        </Section>
        <div aria-live="polite">
          {tried && (
            <Section
              title={
                <>
                  {t('rules.found')} <RunStateBadge state="completed" verdict={tried.trial.verdict} />
                </>
              }
            >
              {(tried.text !== text || tried.files !== files) && (
                <p className="small stale">
                  <Icon name="clock" size={13} /> {t('rules.stale')}
                </p>
              )}
              <p className={`summary ${tried.trial.verdict === 'failed' ? 'summary-bad' : ''}`}>
                <SummaryText text={tried.trial.result_summary} />
              </p>
              <Findings
                report={tried.trial.validation_report as Report}
                {...(read.ok && tried.text === text
                  ? { toRule: (rule: number) => setGoTo({ line: read.lineOf(`rules.${rule}`) }) }
                  : {})}
              />
            </Section>
          )}
        </div>
      </div>
      {read.ok && (
        <Publish
          opened={asking}
          close={() => setAsking(false)}
          read={read}
          tried={tried !== null && tried.text === text ? tried.trial.verdict : null}
          refused={(error) => setRefused({ error, text })}
          done={() => draft.done()}
        />
      )}
    </div>
  )
}

const isAboutText = (error: unknown): boolean =>
  error instanceof WritError && error.fields.some(({ path }) => /^body\.(definition|name)\b/.test(path))

interface Fault {
  readonly line: number
  readonly place: string
  readonly sentence: string
}

/** What is wrong with the text, and where: as it is read here, or as the server refused it. */
function useFaults(refused: unknown, read: RuleText): readonly Fault[] {
  const { t } = useTranslation()
  const words = useFaultWords()
  return useMemo(() => {
    if (!read.ok)
      return [
        {
          line: read.line,
          place: '',
          sentence:
            read.why === 'shape'
              ? t('rules.noRules')
              : read.why === 'number'
                ? t('rules.noNumber')
                : t('rules.noYaml', { message: sayFound(read.message) }),
        },
      ]
    if (!(refused instanceof WritError) || !isAboutText(refused)) return []
    return refused.fields.map((fault) => {
      const place = fault.path.replace(/^body\.(definition\.?)?/, '')
      return { line: read.lineOf(place), place, sentence: words(fault) }
    })
  }, [refused, read, t, words])
}

/** Reads a rule set from a file: those who keep theirs beside their configurations. */
function OpenText({ open }: { open: (text: string) => void }) {
  const { t } = useTranslation()
  const forget = useRef<() => void>(null)
  return (
    <FileButton
      accept=".yaml,.yml,.json"
      resetRef={forget}
      inputProps={{ 'aria-label': t('rules.open') }}
      onChange={(file) => {
        if (file) void file.text().then(open)
        forget.current?.()
      }}
    >
      {(props) => (
        <Button {...props} variant="default">
          {t('rules.open')}
        </Button>
      )}
    </FileButton>
  )
}

/** Whoever may not publish hands the text to somebody who may. */
function SaveText({ read, text }: { read: RuleText; text: string }) {
  const { t } = useTranslation()
  const save = () => {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([text], { type: 'application/yaml' }))
    link.download = `${(read.ok && read.name) || 'rules'}.yaml`
    link.click()
    URL.revokeObjectURL(link.href)
  }
  return (
    <Button variant="default" onClick={save} leftSection={<Icon name="download" size={14} />}>
      {t('action.download')}
    </Button>
  )
}

function Publish(props: {
  opened: boolean
  close: () => void
  read: Extract<RuleText, { ok: true }>
  /** What these rules found last; null when they were not tried as they are. */
  tried: RuleTrial['verdict'] | null
  refused: (error: unknown) => void
  done: () => void
}) {
  const { opened, close, read, tried, refused, done } = props
  const { client } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const sets = useRuleSets()
  const name = read.name ?? ''
  const version = Math.max(0, ...(sets.data ?? []).filter((set) => set.name === name).map((set) => set.version)) + 1
  return (
    <Ask
      opened={opened}
      close={close}
      title={name === '' ? t('rules.publish') : t('rules.publishTitle', { name, version })}
      verb={t('rules.publish')}
      ready={name !== ''}
      changes={['rule-sets', 'scripts']}
      act={async () => {
        try {
          const made = await client.rules.publish({ body: { name, definition: read.definition } })
          done()
          go(`rules/of/${made.name}`)
        } catch (error) {
          refused(error)
          throw error
        }
      }}
    >
      {name === '' ? (
        <p className="refusal" role="alert">
          <Icon name="warning" size={14} /> {t('rules.noName')}
        </p>
      ) : (
        <>
          <p>{t('rules.publishText', { name, version })}</p>
          <p className={tried === 'failed' || tried === null ? 'bad small' : 'small'}>
            {t(`rules.tried_${tried ?? 'never'}`)}
          </p>
        </>
      )}
    </Ask>
  )
}
