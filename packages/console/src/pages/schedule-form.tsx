import { Button, NumberInput, SegmentedControl, Select, TagsInput, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useParams } from '@tanstack/react-router'
import type {
  ChangeSchedule,
  HandlerInfo,
  NewSchedule,
  PreviewSchedule,
  ScheduleDetail,
  ScheduleOptions,
} from '@writ/api'
import { WritError } from '@writ/sdk'
import { type FormEvent, useMemo } from 'react'
import { useTranslation } from 'react-i18next'
import { exactTime } from '../app/format.ts'
import { instantOf, localOf } from '../app/local-time.ts'
import { useSession } from '../app/session.tsx'
import { useAction, useAgain } from '../parts/ask.tsx'
import { Page, Section, Time } from '../parts/bits.tsx'
import { timingOf } from '../parts/calendar.tsx'
import { Begun, useDraft } from '../parts/draft.tsx'
import { Go, useGo } from '../parts/go.tsx'
import { useHandlerWords } from '../parts/handler-words.ts'
import { Icon } from '../parts/icons.tsx'
import { LocalTime } from '../parts/local-time.tsx'
import { blankOf, faultsByPath, isUnparsed, leavingOutSecrets, type Schema } from '../parts/schema.ts'
import { InputField } from '../parts/schema-form.tsx'
import { Answer, Empty, Refusal, useFaultWords } from '../parts/states.tsx'
import { handlerNames, useHandlers } from '../parts/task-bits.tsx'
import { useSchedule } from './schedule.tsx'

type Way = 'cron' | 'every' | 'once'
const UNITS = { seconds: 1, minutes: 60, hours: 3_600, days: 86_400 } as const
type Unit = keyof typeof UNITS

/** When it is due, as the fields hold it. */
interface Times {
  readonly way: Way
  readonly cron: string
  readonly every: number | ''
  readonly unit: Unit
  /** Local, as the browser's field has it. */
  readonly at: string
  readonly zone: string
  readonly dst_gap: 'skip' | 'after'
  readonly dst_overlap: 'first' | 'both'
}

const ZONES = ['UTC', ...Intl.supportedValuesOf('timeZone').filter((zone) => zone !== 'UTC')]
const here = () => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
  return ZONES.includes(zone) ? zone : 'UTC'
}

function timesOf(of: ScheduleDetail | null): Times {
  const blank = { cron: '0 9 * * MON-FRI', every: 5, unit: 'minutes', at: '' } as const
  if (of === null) return { ...blank, way: 'cron', zone: here(), dst_gap: 'after', dst_overlap: 'first' }
  const kept = { zone: of.zone, dst_gap: of.dst_gap, dst_overlap: of.dst_overlap }
  if (of.cron !== null) return { ...blank, ...kept, way: 'cron', cron: of.cron }
  if (of.at !== null) return { ...blank, ...kept, way: 'once', at: localOf(Date.parse(of.at)) }
  const seconds = of.every_seconds ?? 60
  const unit = (['days', 'hours', 'minutes'] as const).find((one) => seconds % UNITS[one] === 0) ?? 'seconds'
  return { ...blank, ...kept, way: 'every', every: seconds / UNITS[unit], unit }
}

/**
 * As the API takes them; undefined while something is missing. A time that was not touched is the instant that it was: the field has it to
 * the minute, and of an hour that comes twice only the first.
 */
function askedOf(times: Times, first: ScheduleDetail | null): PreviewSchedule | undefined {
  const policy = { zone: times.zone, dst_gap: times.dst_gap, dst_overlap: times.dst_overlap }
  if (times.way === 'cron') return times.cron.trim() === '' ? undefined : { cron: times.cron.trim(), ...policy }
  if (times.way === 'every')
    return times.every === '' || times.every < 1
      ? undefined
      : { every_seconds: times.every * UNITS[times.unit], ...policy }
  const before = first?.at ?? undefined
  const at = before !== undefined && localOf(Date.parse(before)) === times.at ? before : instantOf(times.at)
  return at === undefined ? undefined : { at, ...policy }
}

export function NewSchedulePage() {
  const { can } = useSession()
  const { t } = useTranslation()
  const handlers = useHandlers()
  return (
    <Page name={t('schedule.new')} title={t('schedule.new')} above={<Back to="schedules" name={t('nav.schedules')} />}>
      {can('schedules.create') ? (
        <Answer of={handlers}>{(list) => <Form handlers={list} before={null} />}</Answer>
      ) : (
        <Empty icon="hand" title={t('error.denied')} text={t('schedule.denied')} />
      )}
    </Page>
  )
}

export function EditSchedulePage() {
  const { can } = useSession()
  const { t } = useTranslation()
  const { id = '' } = useParams({ strict: false }) as { id?: string }
  const handlers = useHandlers()
  const schedule = useSchedule(id)
  const name = schedule.data?.name ?? t('nav.schedules')
  return (
    <Page name={name} title={t('schedule.editTitle', { name })} above={<Back to={`schedules/${id}`} name={name} />}>
      {can('schedules.update') ? (
        <Answer of={schedule}>
          {(before) => <Answer of={handlers}>{(list) => <Form key={id} handlers={list} before={before} />}</Answer>}
        </Answer>
      ) : (
        <Empty icon="hand" title={t('error.denied')} text={t('schedule.denied')} />
      )}
    </Page>
  )
}

const Back = ({ to, name }: { to: string; name: string }) => (
  <Go to={to} className="back">
    <Icon name="left" size={13} /> {name}
  </Go>
)

/** What the form holds, and what was there when it was begun. */
interface Typed {
  readonly first: ScheduleDetail | null
  readonly name: string
  readonly handlerName: string
  /** What is secret in an input is not told, so an input that was kept is replaced as a whole or left alone. */
  readonly replaces: boolean
  readonly input: unknown
  readonly times: Times
  readonly more: Pick<ScheduleDetail, 'catch_up' | 'catch_up_limit' | 'when_running'>
  readonly options: ScheduleOptions
  /** Of an address that was kept only what may be seen is shown: left as it stands, it stays. */
  readonly callback: string
}

const typedOf = (first: ScheduleDetail | null): Typed => ({
  first,
  name: first?.name ?? '',
  handlerName: first?.handler ?? '',
  replaces: first === null,
  input: undefined,
  times: timesOf(first),
  more: {
    catch_up: first?.catch_up ?? 'last',
    catch_up_limit: first?.catch_up_limit ?? 10,
    when_running: first?.when_running ?? 'allow',
  },
  options: (first?.options ?? {}) as ScheduleOptions,
  callback: first?.callback?.url ?? '',
})

function Form({ handlers, before }: { handlers: readonly HandlerInfo[]; before: ScheduleDetail | null }) {
  const { client } = useSession()
  const { t } = useTranslation()
  const go = useGo()
  const again = useAgain()
  const action = useAction()
  const draft = useDraft<Typed>(
    before === null ? 'new schedule' : `edit of schedule ${before.id}`,
    typedOf(before),
    (typed) => {
      const found = handlers.find((one) => one.name === typed.handlerName)
      return { ...typed, input: leavingOutSecrets((found?.input as Schema | null | undefined) ?? null, typed.input) }
    },
  )
  // What was there when the form was begun is what is compared with; the page asks again meanwhile.
  const { first, name, handlerName, replaces, input, times, more, options, callback } = draft.value
  const put = (change: Partial<Typed>) => draft.write((old) => ({ ...old, ...change }))
  const setInput = (next: unknown) => put({ input: next })
  const setMore = (next: (old: Typed['more']) => Typed['more']) =>
    draft.write((old) => ({ ...old, more: next(old.more) }))
  const setOptions = (next: (old: ScheduleOptions) => ScheduleOptions) =>
    draft.write((old) => ({ ...old, options: next(old.options) }))
  const handler = handlers.find((one) => one.name === handlerName)
  const { titleOf, schemaOf } = useHandlerWords()
  const schema = handler ? schemaOf(handler) : null
  const fields = action.error instanceof WritError ? action.error.fields : []
  const words = useFaultWords()
  const { input: inputFaults, body: faults } = useMemo(() => faultsByPath(fields, words), [fields, words])
  const faultOf = (option: keyof ScheduleOptions) => {
    const fault = fields.find(({ path }) => path === `body.options.${option}`)
    return fault && words(fault)
  }
  const asked = askedOf(times, first)
  const choose = (next: string | null) => {
    const found = handlers.find((one) => one.name === next)
    put({
      handlerName: next ?? '',
      replaces: true,
      input: found?.input ? blankOf(found.input as Schema, true) : undefined,
    })
  }
  const time = (change: Partial<Times>) => draft.write((old) => ({ ...old, times: { ...old.times, ...change } }))
  const said = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== '' && !isEmpty(value)),
  ) as ScheduleOptions
  const changed = optionsThatChanged((first?.options ?? {}) as ScheduleOptions, said)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (asked === undefined) return
    void action.run(async () => {
      const given = replaces && input !== undefined ? { input } : {}
      // What stays is not sent: options are told without what is secret in them, times would be looked at anew, and what somebody else
      // changed since would be changed back.
      const kept = (now: unknown, then: unknown) => first !== null && JSON.stringify(now) === JSON.stringify(then)
      const url = callback.trim()
      const tells = url !== '' ? { callback: { url } } : first === null ? {} : { callback: null }
      const body = {
        ...(kept(name, first?.name) ? {} : { name }),
        ...(kept(handlerName, first?.handler) ? {} : { handler: handlerName }),
        ...given,
        ...(first === null ? { options: said } : Object.keys(changed).length === 0 ? {} : { options: changed }),
        ...(kept(callback, first?.callback?.url ?? '') ? {} : tells),
        ...(kept(asked, askedOf(timesOf(first), first)) ? {} : asked),
        ...Object.fromEntries(
          Object.entries(more).filter(([policy, value]) => !kept(value, first?.[policy as keyof typeof more])),
        ),
      }
      const saved = await (first === null
        ? // Null is said of a change alone.
          client.schedules.create({ body: body as NewSchedule })
        : client.schedules.update({ params: { id: first.id }, body }))
      draft.done()
      again('schedules')
      go(`schedules/${saved.id}`)
    })
  }
  return (
    <div className="columns">
      <form onSubmit={submit} className="fields">
        <Begun of={draft} />
        <div className="pair">
          <TextInput
            label={t('schedule.name')}
            description={t('schedule.nameHint')}
            error={faults.get('name')}
            required
            withAsterisk={false}
            maxLength={100}
            value={name}
            onChange={(event) => put({ name: event.currentTarget.value })}
          />
          <Select
            label={t('task.handler')}
            description={handler ? titleOf(handler) : t('dispatch.choose')}
            error={faults.get('handler')}
            data={handlerNames(handlers, first?.handler)}
            value={handlerName === '' ? null : handlerName}
            onChange={choose}
            allowDeselect={false}
            searchable
            required
            withAsterisk={false}
            nothingFoundMessage={t('list.none')}
          />
        </div>
        <Section title={t('schedule.when')}>
          <div className="fields">
            <SegmentedControl
              aria-label={t('schedule.when')}
              data={(['cron', 'every', 'once'] as const).map((value) => ({ value, label: t(`scheduleWay.${value}`) }))}
              value={times.way}
              onChange={(way) => time({ way: way as Way })}
            />
            {times.way === 'cron' && (
              <div className="pair">
                <TextInput
                  label={t('schedule.cron')}
                  description={t('schedule.cronHint')}
                  error={faults.get('cron')}
                  classNames={{ input: 'mono-text' }}
                  required
                  withAsterisk={false}
                  value={times.cron}
                  onChange={(event) => time({ cron: event.currentTarget.value })}
                />
                <Select
                  label={t('schedule.zone')}
                  description={t('schedule.zoneHint')}
                  error={faults.get('zone')}
                  data={ZONES.includes(times.zone) ? ZONES : [times.zone, ...ZONES]}
                  value={times.zone}
                  onChange={(zone) => time({ zone: zone ?? 'UTC' })}
                  allowDeselect={false}
                  searchable
                  limit={60}
                  nothingFoundMessage={t('list.none')}
                />
              </div>
            )}
            {times.way === 'every' && (
              <div className="pair">
                <NumberInput
                  label={t('schedule.every')}
                  error={faults.get('every_seconds')}
                  min={1}
                  allowDecimal={false}
                  required
                  withAsterisk={false}
                  hideControls
                  value={times.every}
                  onChange={(value) => time({ every: value === '' ? '' : Number(value) })}
                />
                <Select
                  label={t('schedule.unit')}
                  data={Object.keys(UNITS).map((value) => ({ value, label: t(`timeUnit.${value as Unit}`) }))}
                  value={times.unit}
                  onChange={(unit) => time({ unit: (unit ?? 'minutes') as Unit })}
                  allowDeselect={false}
                />
              </div>
            )}
            {times.way === 'once' && (
              <LocalTime
                label={t('schedule.at')}
                description={t('schedule.atHint')}
                error={faults.get('at')}
                required
                withAsterisk={false}
                value={times.at}
                onChange={(event) => time({ at: event.currentTarget.value })}
              />
            )}
          </div>
        </Section>
        <Section title={t('schedule.policies')}>
          <div className="fields">
            {times.way === 'cron' && (
              <div className="pair pair-explained">
                <Select
                  label={t('schedule.gap')}
                  description={t(`dstGapText.${times.dst_gap}`)}
                  data={(['after', 'skip'] as const).map((value) => ({ value, label: t(`dstGap.${value}`) }))}
                  value={times.dst_gap}
                  onChange={(value) => time({ dst_gap: (value ?? 'after') as Times['dst_gap'] })}
                  allowDeselect={false}
                />
                <Select
                  label={t('schedule.overlap')}
                  description={t(`dstOverlapText.${times.dst_overlap}`)}
                  data={(['first', 'both'] as const).map((value) => ({ value, label: t(`dstOverlap.${value}`) }))}
                  value={times.dst_overlap}
                  onChange={(value) => time({ dst_overlap: (value ?? 'first') as Times['dst_overlap'] })}
                  allowDeselect={false}
                />
              </div>
            )}
            <div className="pair pair-explained">
              <Select
                label={t('schedule.catchUp')}
                description={t(`catchUpText.${more.catch_up}`, { count: more.catch_up_limit })}
                data={(['last', 'none', 'all'] as const).map((value) => ({ value, label: t(`catchUp.${value}`) }))}
                value={more.catch_up}
                onChange={(value) => setMore((old) => ({ ...old, catch_up: (value ?? 'last') as typeof old.catch_up }))}
                allowDeselect={false}
              />
              <Select
                label={t('schedule.whenRunning')}
                description={t(`whenRunningText.${more.when_running}`)}
                data={(['allow', 'skip'] as const).map((value) => ({ value, label: t(`whenRunning.${value}`) }))}
                value={more.when_running}
                onChange={(value) =>
                  setMore((old) => ({ ...old, when_running: (value ?? 'allow') as typeof old.when_running }))
                }
                allowDeselect={false}
              />
            </div>
            {more.catch_up === 'all' && (
              <NumberInput
                label={t('schedule.catchUpLimit')}
                min={1}
                max={100}
                allowDecimal={false}
                hideControls
                value={more.catch_up_limit}
                onChange={(value) => setMore((old) => ({ ...old, catch_up_limit: value === '' ? 10 : Number(value) }))}
              />
            )}
          </div>
        </Section>
        {handler && (
          <Section title={t('dispatch.input')}>
            {!replaces ? (
              <>
                <p className="dimmed small">{t('schedule.inputKept')}</p>
                <Button
                  variant="default"
                  onClick={() => put({ replaces: true, input: schema === null ? undefined : blankOf(schema, true) })}
                >
                  {t('schedule.inputReplace')}
                </Button>
              </>
            ) : (
              <InputField
                // Another handler's form begins anew.
                key={`${handler.name} ${draft.turn}`}
                schema={schema}
                label={t('dispatch.input')}
                value={input}
                change={setInput}
                faults={inputFaults}
                rows={4}
              />
            )}
          </Section>
        )}
        <details className="options">
          <summary>{t('dispatch.options')}</summary>
          <div className="fields">
            <div className="pair">
              <TextInput
                label={t('task.queue')}
                placeholder={handler?.queue}
                error={faultOf('queue')}
                value={options.queue ?? ''}
                onChange={(event) => {
                  const queue = event.currentTarget.value
                  setOptions((old) => ({ ...old, queue }))
                }}
              />
              <NumberInput
                label={t('task.priority')}
                description={t('dispatch.priorityHint')}
                error={faultOf('priority')}
                allowDecimal={false}
                hideControls
                value={options.priority ?? ''}
                onChange={(value) => setOptions(({ priority: _, ...old }) => withNumber(old, 'priority', value))}
              />
            </div>
            <div className="pair">
              <NumberInput
                label={t('dispatch.attempts')}
                error={faultOf('max_attempts')}
                allowDecimal={false}
                hideControls
                {...(handler ? { placeholder: String(handler.max_attempts) } : {})}
                value={options.max_attempts ?? ''}
                onChange={(value) =>
                  setOptions(({ max_attempts: _, ...old }) => withNumber(old, 'max_attempts', value))
                }
              />
              <NumberInput
                label={t('dispatch.limit')}
                error={faultOf('timeout_ms')}
                allowDecimal={false}
                hideControls
                {...(handler ? { placeholder: String(handler.timeout_ms / 1_000) } : {})}
                value={secondsOf(options.timeout_ms)}
                onChange={(value) =>
                  setOptions(({ timeout_ms: _, ...old }) => withNumber(old, 'timeout_ms', value, 1_000))
                }
              />
            </div>
            <div className="pair">
              <TextInput
                label={t('task.concurrencyKey')}
                description={t('dispatch.concurrencyKeyHint')}
                error={faultOf('concurrency_key')}
                value={options.concurrency_key ?? ''}
                onChange={(event) => {
                  const concurrency_key = event.currentTarget.value
                  setOptions((old) => ({ ...old, concurrency_key }))
                }}
              />
              <NumberInput
                label={t('schedule.ttl')}
                description={t('schedule.ttlHint')}
                error={faultOf('ttl_ms')}
                min={1}
                allowDecimal={false}
                hideControls
                value={secondsOf(options.ttl_ms)}
                onChange={(value) => setOptions(({ ttl_ms: _, ...old }) => withNumber(old, 'ttl_ms', value, 1_000))}
              />
            </div>
            <div className="pair">
              <TextInput
                type="url"
                label={t('dispatch.callback')}
                description={t('schedule.callbackHint')}
                error={faults.get('callback')}
                value={callback}
                onChange={(event) => put({ callback: event.currentTarget.value })}
              />
              <TagsInput
                label={t('task.tags')}
                description={t('dispatch.tagsHint')}
                error={faultOf('tags')}
                value={options.tags ?? []}
                onChange={(tags) => setOptions((old) => ({ ...old, tags }))}
              />
            </div>
          </div>
        </details>
        <Refusal error={action.error} />
        <div className="form-buttons">
          <Button
            type="submit"
            size="sm"
            loading={action.busy}
            disabled={handlerName === '' || asked === undefined || isUnparsed(input)}
          >
            {t(first === null ? 'schedule.create' : 'action.save')}
          </Button>
          <Button
            component={Go}
            size="sm"
            variant="default"
            to={first ? `schedules/${first.id}` : 'schedules'}
            onClick={() => draft.done()}
          >
            {t('action.cancel')}
          </Button>
        </div>
      </form>
      <aside>
        <Section title={t('schedule.nextTimes')}>
          <Preview asked={asked} before={first} />
        </Section>
        <p className="dimmed small">{t('schedule.ownerText')}</p>
      </aside>
    </div>
  )
}

const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0
const withNumber = (
  rest: ScheduleOptions,
  name: 'priority' | 'max_attempts' | 'timeout_ms' | 'ttl_ms',
  value: string | number,
  unit = 1,
) => (value === '' ? rest : { ...rest, [name]: Number(value) * unit })

/** What a change says of options: only of those that differ, and null of those that are gone. */
const optionsThatChanged = (before: ScheduleOptions, now: ScheduleOptions): NonNullable<ChangeSchedule['options']> =>
  Object.fromEntries(
    (Object.keys({ ...before, ...now }) as (keyof ScheduleOptions)[])
      .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]))
      .map((name) => [name, now[name] ?? null]),
  )
const secondsOf = (ms: number | undefined) => (ms === undefined ? '' : ms / 1_000)

/** When it would be due, asked while one types: the server computes it, clocks and all. */
function Preview({ asked, before }: { asked: PreviewSchedule | undefined; before: ScheduleDetail | null }) {
  const { client, project } = useSession()
  const { t, i18n } = useTranslation()
  const bounds = before === null ? {} : timingOf(before)
  const [late] = useDebouncedValue(JSON.stringify(asked), 300)
  const body = {
    ...(bounds.starts_at === undefined ? {} : { starts_at: bounds.starts_at }),
    ...(bounds.ends_at === undefined ? {} : { ends_at: bounds.ends_at }),
    ...(late === undefined ? {} : (JSON.parse(late) as PreviewSchedule)),
  }
  const preview = useQuery({
    queryKey: [project, 'schedules', 'preview', body],
    queryFn: () => client.schedules.preview({ body }),
    enabled: late !== undefined,
    retry: false,
  })
  if (late === undefined) return <p className="dimmed small">{t('schedule.incomplete')}</p>
  if (preview.isError) return <Refusal error={preview.error} />
  return (
    <Answer of={preview} lines={6}>
      {({ next, zone }) =>
        next.length === 0 ? (
          <p className="dimmed small">{t('schedule.noNext')}</p>
        ) : (
          <ol className="plain-list preview-times">
            {next.map((time) => (
              <li key={time}>
                {exactTime(Date.parse(time), i18n.language)}{' '}
                <span className="dimmed small">
                  <Time at={time} />
                </span>
                {/* A cron is written for the clocks there. */}
                {body.cron !== undefined && zone !== Intl.DateTimeFormat().resolvedOptions().timeZone && (
                  <span className="dimmed small preview-there">
                    {exactTime(Date.parse(time), i18n.language, zone)} · {zone}
                  </span>
                )}
              </li>
            ))}
          </ol>
        )
      }
    </Answer>
  )
}
