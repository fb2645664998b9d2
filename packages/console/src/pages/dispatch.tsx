import { Button, NumberInput, SegmentedControl, Select, TagsInput, TextInput } from '@mantine/core'
import type { HandlerInfo, NewTask, Submitted } from '@writ/api'
import { WritError } from '@writ/sdk'
import { type FormEvent, useEffect, useMemo, useRef, useState } from 'react'
import { useTranslation } from 'react-i18next'
import { duration } from '../app/format.ts'
import { instantOf } from '../app/local-time.ts'
import { prefix } from '../app/page-settings.ts'
import { useSession } from '../app/session.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page, RunStateBadge, Section } from '../parts/bits.tsx'
import { Code } from '../parts/code.tsx'
import { Begun, useDraft } from '../parts/draft.tsx'
import { Go, useFilters } from '../parts/go.tsx'
import { useHandlerWords } from '../parts/handler-words.ts'
import { Icon } from '../parts/icons.tsx'
import { LocalTime } from '../parts/local-time.tsx'
import { Views } from '../parts/saved-views.tsx'
import { blankOf, faultsByPath, isUnparsed, leavingOutSecrets, type Schema, withoutSecrets } from '../parts/schema.ts'
import { InputField } from '../parts/schema-form.tsx'
import { type Snippet, snippetsOf } from '../parts/snippets.ts'
import { Answer, Empty, Refusal, useFaultWords } from '../parts/states.tsx'
import { handlerNames, useHandlers } from '../parts/task-bits.tsx'
import { Tree } from '../parts/tree.tsx'
import { Waterfall } from '../parts/waterfall.tsx'
import { sayFound } from '../words/index.ts'
import { useTask } from './task.tsx'

/** What a dispatch says beside handler and input, as the fields hold it. */
interface Options {
  readonly queue?: string
  readonly priority?: number
  /** Local, as the browser's field has them. */
  readonly run_at?: string
  readonly deadline_at?: string
  readonly max_attempts?: number
  readonly seconds?: number
  readonly unique_key?: string
  readonly concurrency_key?: string
  readonly tags?: string[]
  readonly callback?: string
}

const text = (value: string | undefined) => (value === undefined || value.trim() === '' ? undefined : value.trim())

/** The body of a dispatch: what was left out is the handler's to say. */
function taskOf(handler: string, input: unknown, options: Options): NewTask {
  const callback = text(options.callback)
  const given = {
    queue: text(options.queue),
    priority: options.priority,
    run_at: instantOf(options.run_at),
    deadline_at: instantOf(options.deadline_at),
    max_attempts: options.max_attempts,
    timeout_ms: options.seconds === undefined ? undefined : options.seconds * 1_000,
    unique_key: text(options.unique_key),
    concurrency_key: text(options.concurrency_key),
    tags: options.tags && options.tags.length > 0 ? options.tags : undefined,
    callback: callback === undefined ? undefined : { url: callback },
  }
  const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return { handler, ...(input === undefined ? {} : { input }), ...said }
}

/**
 * What a form holds, as the address of a form that holds it: a template. Times are left out, which would be over when it is used, and
 * so is what the handler calls secret.
 */
function addressOf({ run_at: _, deadline_at: __, input, ...task }: NewTask, schema: Schema | null) {
  const { handler, ...given } = task
  const kept = { ...given, input: leavingOutSecrets(schema, input) }
  return { handler, ...(Object.values(kept).some((one) => one !== undefined) ? { given: JSON.stringify(kept) } : {}) }
}

/** What an address gives, as the fields hold it. Somebody may have written anything there: the server checks what is sent. */
function givenBy(given: string | undefined): { input?: unknown; options: Options } {
  try {
    const { input, timeout_ms, callback, ...rest } = JSON.parse(given ?? '{}') as Partial<NewTask>
    const options = {
      ...rest,
      ...(timeout_ms === undefined ? {} : { seconds: timeout_ms / 1_000 }),
      ...(callback ? { callback: callback.url } : {}),
    } as Options
    return { ...(input === undefined ? {} : { input }), options }
  } catch {
    return { options: {} }
  }
}

export function Dispatch() {
  const { can } = useSession()
  const { t } = useTranslation()
  const [filters, set] = useFilters()
  const handlers = useHandlers()
  const { titleOf } = useHandlerWords()
  const back = (
    <Go to="tasks" className="back">
      <Icon name="left" size={13} /> {t('nav.tasks')}
    </Go>
  )
  if (!can('tasks.submit'))
    return (
      <Page name={t('dispatch.title')} title={t('dispatch.title')} above={back}>
        <Empty icon="hand" title={t('error.denied')} text={t('dispatch.denied')} />
      </Page>
    )
  return (
    <Page name={t('dispatch.title')} title={t('dispatch.title')} above={back}>
      <Answer of={handlers}>
        {(list) => {
          const chosen = list.find(({ name }) => name === filters.handler)
          return (
            <>
              <Select
                data-filter
                label={t('dispatch.handler')}
                placeholder={t('dispatch.choose')}
                data={handlerNames(list, undefined).map((value) => {
                  const found = list.find(({ name }) => name === value)
                  return { value, label: `${value} · ${found ? titleOf(found) : ''}` }
                })}
                value={chosen?.name ?? null}
                onChange={(handler) => set({ handler, given: null })}
                searchable
                nothingFoundMessage={t('list.none')}
                maw={560}
                mb="md"
              />
              {chosen && (
                <Form
                  key={`${chosen.name} ${filters.given}`}
                  handler={chosen}
                  thing={`dispatch of ${chosen.name} ${filters.given ?? ''}`}
                  given={givenBy(filters.given)}
                />
              )}
            </>
          )
        }}
      </Answer>
    </Page>
  )
}

interface Typed {
  readonly input: unknown
  readonly options: Options
  readonly raw: boolean
}

function Form(props: { handler: HandlerInfo; thing: string; given: ReturnType<typeof givenBy> }) {
  const { handler, thing, given } = props
  const { client } = useSession()
  const { t, i18n } = useTranslation()
  const again = useAgain()
  const { schemaOf } = useHandlerWords()
  const schema = schemaOf(handler)
  const draft = useDraft<Typed>(
    thing,
    {
      input: given.input ?? (schema === null ? undefined : blankOf(schema, true)),
      options: given.options,
      raw: schema === null,
    },
    (typed) => ({ ...typed, input: leavingOutSecrets(schema, typed.input) }),
  )
  const { input, options, raw } = draft.value
  const setInput = (next: unknown) => draft.write((before) => ({ ...before, input: next }))
  const setOptions = (next: (before: Options) => Options) =>
    draft.write((before) => ({ ...before, options: next(before.options) }))
  const [sent, setSent] = useState<Submitted | null>(null)
  const action = useAction()
  const words = useFaultWords()
  const { input: inputFaults, body: faults } = useMemo(
    () => faultsByPath(action.error instanceof WritError ? action.error.fields : [], words),
    [action.error, words],
  )
  const task = taskOf(handler.name, input, options)
  const option = (change: Options) => setOptions((before) => ({ ...before, ...change }))
  const submit = (event: FormEvent) => {
    event.preventDefault()
    void action.run(async () => {
      setSent(await client.tasks.submit({ body: task }))
      draft.done(draft.value)
      again('tasks', 'queues')
    })
  }
  const unread = isUnparsed(input)
  const number = (value: string | number) => (value === '' ? {} : { value: Number(value) })
  return (
    <>
      <Views to="tasks/new" as="template" {...(unread ? {} : { filters: addressOf(task, schema) })} />
      <div className="columns columns-even dispatch">
        <form onSubmit={submit}>
          <Begun of={draft} />
          <p className="dimmed small contract">
            {t('dispatch.queueDefault', {
              queue: handler.queue,
              count: handler.max_attempts,
              limit: duration(handler.timeout_ms, i18n.language),
            })}
            {' · '}
            {t(`sideEffect.${handler.side_effect}`)}
          </p>
          <Section
            title={t('dispatch.input')}
            actions={
              schema !== null && (
                <SegmentedControl
                  size="xs"
                  aria-label={t('dispatch.input')}
                  data={[
                    { value: 'form', label: t('dispatch.asForm') },
                    { value: 'json', label: t('dispatch.asJson') },
                  ]}
                  value={raw ? 'json' : 'form'}
                  // What is no JSON yet cannot be shown as a form.
                  disabled={raw && unread}
                  onChange={(as) => draft.write((before) => ({ ...before, raw: as === 'json' }))}
                />
              )
            }
          >
            <InputField
              key={draft.turn}
              schema={raw ? null : schema}
              label={t('dispatch.input')}
              value={input}
              change={setInput}
              faults={inputFaults}
              rows={6}
            />
          </Section>
          <details
            className="options"
            open={faults.size > 0 || Object.keys(draft.begun ? options : given.options).length > 0 || undefined}
          >
            <summary>{t('dispatch.options')}</summary>
            <div className="fields">
              <div className="pair">
                <TextInput
                  label={t('task.queue')}
                  placeholder={handler.queue}
                  error={faults.get('queue')}
                  value={options.queue ?? ''}
                  onChange={(event) => option({ queue: event.currentTarget.value })}
                />
                <NumberInput
                  label={t('task.priority')}
                  description={t('dispatch.priorityHint')}
                  error={faults.get('priority')}
                  allowDecimal={false}
                  hideControls
                  value={options.priority ?? ''}
                  onChange={(value) =>
                    setOptions(({ priority: _, ...rest }) => ({ ...rest, ...rename('priority', number(value)) }))
                  }
                />
              </div>
              <div className="pair">
                <LocalTime
                  label={t('task.runAt')}
                  description={t('dispatch.runAtHint')}
                  error={faults.get('run_at')}
                  value={options.run_at ?? ''}
                  onChange={(event) => option({ run_at: event.currentTarget.value })}
                />
                <LocalTime
                  label={t('task.deadline')}
                  error={faults.get('deadline_at')}
                  value={options.deadline_at ?? ''}
                  onChange={(event) => option({ deadline_at: event.currentTarget.value })}
                />
              </div>
              <div className="pair">
                <NumberInput
                  label={t('dispatch.attempts')}
                  placeholder={String(handler.max_attempts)}
                  error={faults.get('max_attempts')}
                  allowDecimal={false}
                  hideControls
                  value={options.max_attempts ?? ''}
                  onChange={(value) =>
                    setOptions(({ max_attempts: _, ...rest }) => ({
                      ...rest,
                      ...rename('max_attempts', number(value)),
                    }))
                  }
                />
                <NumberInput
                  label={t('dispatch.limit')}
                  placeholder={String(handler.timeout_ms / 1_000)}
                  error={faults.get('timeout_ms')}
                  allowDecimal={false}
                  hideControls
                  value={options.seconds ?? ''}
                  onChange={(value) =>
                    setOptions(({ seconds: _, ...rest }) => ({ ...rest, ...rename('seconds', number(value)) }))
                  }
                />
              </div>
              <div className="pair">
                <TextInput
                  label={t('task.uniqueKey')}
                  description={t('dispatch.keyHint')}
                  error={faults.get('unique_key')}
                  value={options.unique_key ?? ''}
                  onChange={(event) => option({ unique_key: event.currentTarget.value })}
                />
                <TextInput
                  label={t('task.concurrencyKey')}
                  description={t('dispatch.concurrencyKeyHint')}
                  error={faults.get('concurrency_key')}
                  value={options.concurrency_key ?? ''}
                  onChange={(event) => option({ concurrency_key: event.currentTarget.value })}
                />
              </div>
              <TagsInput
                label={t('task.tags')}
                description={t('dispatch.tagsHint')}
                error={faults.get('tags')}
                value={options.tags ?? []}
                onChange={(tags) => option({ tags })}
              />
              <TextInput
                type="url"
                label={t('dispatch.callback')}
                description={t('dispatch.callbackHint')}
                error={faults.get('callback')}
                value={options.callback ?? ''}
                onChange={(event) => option({ callback: event.currentTarget.value })}
              />
            </div>
          </details>
          <Refusal error={action.error} />
          <div className="form-buttons">
            <Button type="submit" size="sm" loading={action.busy} disabled={unread}>
              {t('dispatch.verb')}
            </Button>
          </div>
        </form>
        <div>
          {sent && <Outcome key={sent.id} sent={sent} />}
          {!unread && <Same task={task} schema={schema} />}
        </div>
      </div>
    </>
  )
}

const rename = <K extends string>(name: K, { value }: { value?: number }): { [P in K]?: number } =>
  (value === undefined ? {} : { [name]: value }) as { [P in K]?: number }

/** What the task came to, as it comes to it. */
function Outcome({ sent }: { sent: Submitted }) {
  const { t } = useTranslation()
  const task = useTask(String(sent.number))
  const here = useRef<HTMLElement>(null)
  // On a narrow page it stands below the form, out of sight.
  useEffect(() => {
    here.current?.scrollIntoView({ block: 'nearest' })
  }, [])
  return (
    <section ref={here} aria-live="polite">
      <Section title={t('dispatch.outcome')}>
        <p className="small dimmed">{t(sent.duplicate ? 'dispatch.duplicate' : 'dispatch.accepted')}</p>
        <Answer of={task} lines={3}>
          {(one) => (
            <>
              <p className="outcome">
                <RunStateBadge state={one.state} />{' '}
                <Go to={`tasks/${one.number}`}>{t('dispatch.open', { number: one.number })}</Go>
              </p>
              {one.error !== null && (
                <p className="summary summary-bad">
                  {one.error_code && <span className="mono-text">{one.error_code}: </span>}
                  {sayFound(one.error)}
                </p>
              )}
              <Waterfall task={one} now={task.dataUpdatedAt} />
              <Tree name={t('task.result')} value={one.result} open />
            </>
          )}
        </Answer>
      </Section>
    </section>
  )
}

/** The same dispatch for a terminal or a program, to be copied. */
function Same({ task, schema }: { task: NewTask; schema: Schema | null }) {
  const { project } = useSession()
  const { t } = useTranslation()
  const [name, setName] = useState<Snippet['name']>('curl')
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1_500)
    return () => clearTimeout(timer)
  }, [copied])
  const shown = withoutSecrets(schema, task.input)
  const hidden = JSON.stringify(shown) !== JSON.stringify(task.input)
  const snippets = snippetsOf(task.input === undefined ? task : { ...task, input: shown }, {
    api: location.origin + prefix,
    project,
  })
  const snippet = snippets.find((one) => one.name === name)?.text ?? ''
  return (
    <Section
      title={t('dispatch.same')}
      actions={
        <Button
          variant="default"
          onClick={() => void navigator.clipboard?.writeText(snippet).then(() => setCopied(true))}
          leftSection={<Icon name={copied ? 'check' : 'copy'} size={13} />}
        >
          {t(copied ? 'dispatch.copied' : 'action.copy')}
        </Button>
      }
    >
      <SegmentedControl
        size="xs"
        aria-label={t('dispatch.same')}
        data={snippets.map((one) => one.name)}
        value={name}
        onChange={(next) => setName(next as Snippet['name'])}
      />
      <Code more="snippet">{snippet}</Code>
      {hidden && <p className="dimmed small">{t('dispatch.secretsOut')}</p>}
    </Section>
  )
}
