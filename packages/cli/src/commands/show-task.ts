import type { Task, TaskAttempt, TaskDetail, TaskLog } from '@writ/api'
import type { App } from '../app.ts'
import { colourOf } from '../columns.ts'
import { exitCodes } from '../exit-codes.ts'
import type { Field } from '../output.ts'
import type { Column } from '../table.ts'
import { safeText, timeText, usdText } from '../text.ts'

// How tasks are shown, wherever they are.

export const isFinal = (task: Task) => task.completed_at !== null

export const taskColumns: Column<Task>[] = [
  { head: '#', value: (t) => t.number, right: true },
  { head: 'STATE', value: (t) => t.state, paint: (t) => colourOf(t.state) },
  { head: 'HANDLER', value: (t) => t.handler, shrink: true },
  { head: 'QUEUE', value: (t) => t.queue },
  { head: 'ATTEMPT', value: (t) => `${t.attempt}/${t.max_attempts}`, right: true },
  { head: 'BY', value: (t) => t.executed_by_username, spare: true },
  { head: 'ERROR', value: (t) => t.error ?? t.error_code, shrink: true },
  { head: 'DISPATCHED', value: (t) => timeText(t.created_at) },
]

const waits = {
  dependencies: 'other tasks',
  time: 'its time',
  concurrency_key: 'its key',
  queue: 'its queue, which is paused',
  handler: 'its handler, which is disabled',
} as const

/** With the numbers of other tasks where it was read whole. */
type Shown = Task & Partial<Pick<TaskDetail, 'depends_on_numbers' | 'parent_run_number' | 'replays_run_number'>>

/** Another task by its number; by its id where its record is no more. */
const other = (number: number | null | undefined, id: string | null) => (number == null ? id : `#${number}`)

export const taskFields = (t: Shown): Field[] => [
  ['Task', `#${t.number}  ${t.handler}`, 'bold'],
  ['State', t.state, colourOf(t.state)],
  ['Queue', t.priority === 0 ? t.queue : `${t.queue}, priority ${t.priority}`],
  ['Attempt', `${t.attempt} of ${t.max_attempts}`],
  ['Cost', usdText(t.cost_usd)],
  ['Error', t.error, 'red'],
  ['Code', t.error_code],
  ['Asked to stop', timeText(t.cancel_requested_at)],
  ['Because', t.cancel_reason],
  ['Dead since', timeText(t.dead_at), 'red'],
  ['Replays', other(t.replays_run_number, t.replays_run_id)],
  ['Unique key', t.unique_key],
  ['Concurrency key', t.concurrency_key],
  ['Waits for', t.waiting_for && waits[t.waiting_for]],
  ['Depends on', t.depends_on.map((id, i) => other(t.depends_on_numbers?.[i], id)).join(' ')],
  ['Dispatched by task', other(t.parent_run_number, t.parent_run_id)],
  ['Tags', t.tags.join(' ')],
  ['Metadata', t.metadata && JSON.stringify(t.metadata)],
  ['Tells', t.callback?.url],
  ['Dispatched by', t.executed_by_username],
  ['Dispatched', timeText(t.created_at)],
  ['To start at', isFinal(t) ? null : timeText(t.run_at)],
  ['Deadline', timeText(t.deadline_at)],
  ['Started', timeText(t.started_at)],
  ['Ended', timeText(t.completed_at)],
  ['Id', t.id],
]

const attemptColumns: Column<TaskAttempt>[] = [
  { head: 'ATTEMPT', value: (a) => a.attempt, right: true },
  { head: 'OUTCOME', value: (a) => a.outcome, paint: (a) => colourOf(a.outcome === 'lost' ? 'failed' : a.outcome) },
  { head: 'ENDED', value: (a) => timeText(a.ended_at) },
  { head: 'ERROR', value: (a) => a.error ?? a.error_code, shrink: true },
  { head: 'NEXT', value: (a) => timeText(a.next_run_at), spare: true },
]
/** Only of a task that cost something. */
const costColumn: Column<TaskAttempt> = { head: 'COST', value: (a) => usdText(a.cost_usd), right: true }

export function showTask(app: App, task: TaskDetail, withLog?: boolean): void {
  const out = app.out()
  out.item(task, taskFields(task), task.number)
  if (out.quiet || out.format !== 'table') return
  out.say(`\nInput:  ${JSON.stringify(task.input)}`)
  if (isFinal(task) && task.error_code === null) out.say(`Result: ${JSON.stringify(task.result)}`)
  const failed = failedAddresses(task)
  if (failed !== null) out.say(out.paint(failed, 'red'))
  if (task.attempts.length > 0) {
    out.say('')
    const columns = task.cost_usd === null ? attemptColumns : [...attemptColumns, costColumn]
    out.list(task.attempts, columns, (a) => a.attempt)
  }
  if (withLog && task.log) out.say(`\n${safeText(task.log)}`)
}

/** Prints logs that follow each other, and says where lines are missing and where another attempt begins. */
export function createLogSayer(app: App): (log: TaskLog) => void {
  const out = app.out()
  let attempt: number | undefined
  let next: number | undefined
  return (log) => {
    if (attempt !== undefined && attempt !== log.attempt) {
      out.note(`Attempt ${log.attempt}:`)
      next = 1
    }
    attempt = log.attempt
    for (const { first_line, lines } of log.chunks) {
      if (next !== undefined && first_line > next) out.note(`Lines ${next} to ${first_line - 1} were not kept.`)
      next = first_line + lines.length
      for (const [i, text] of lines.entries()) {
        if (out.format === 'table') out.say(safeText(text))
        else out.raw(`${JSON.stringify({ attempt: log.attempt, line: first_line + i, text })}\n`)
      }
    }
    if (log.complete && !log.more && log.outcome === 'lost')
      out.note(`Attempt ${log.attempt} was lost with its worker; its last lines may be missing.`)
  }
}

export function showEnd(app: App, task: TaskDetail): void {
  const out = app.out()
  if (out.quiet || out.format !== 'table') out.item(task, [], task.number)
  else if (task.state === 'completed') out.say(JSON.stringify(task.result, null, 2))
  else
    out.say(`${out.paint(task.state, 'red')}  task #${task.number}: ${safeText(task.error ?? task.error_code ?? '')}`)
  const failed = failedAddresses(task)
  if (failed !== null) out.note(failed)
  app.exit(task.state === 'completed' ? exitCodes.ok : task.state === 'timeout' ? exitCodes.timeout : exitCodes.failure)
}

/** Handlers that complete with a list of what each address answered, whatever it was: that is their documented result. */
const forwarding = ['proxy_forward', 'proxy_multi_forward']
const SHOWN_ADDRESSES = 5

/** A sentence on the addresses that a completed task did not reach, or that refused; null if there are none. */
function failedAddresses({ handler, state, result }: TaskDetail): string | null {
  if (state !== 'completed' || !forwarding.includes(handler)) return null
  // Of built-in handlers, so their shape is known; a result that was erased or redacted may have another.
  const { results } = (result ?? {}) as {
    results?: { url?: string | null; ok?: boolean; status?: number; error?: string }[]
  }
  if (!Array.isArray(results)) return null
  const failed = results.filter(({ ok }) => ok === false)
  if (failed.length === 0) return null
  const shown = failed
    .slice(0, SHOWN_ADDRESSES)
    .map(({ url, status, error }) => `${url ?? 'no url'} (${error ?? status})`)
  const more = failed.length > shown.length ? ', ...' : ''
  return safeText(`Completed, but ${failed.length} of ${results.length} addresses failed: ${shown.join(', ')}${more}`)
}
