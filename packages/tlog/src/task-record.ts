import { fromUtf8 } from './bytes.ts'
import { canonicalize } from './canonical.ts'
import { provenanceStatement, type Statement } from './statement.ts'

// What is kept of a task that has ended: its journal, to whose digest the leaf of its end commits, and what the journal names by digest.

/** What a journal says that others build on; it holds more, and all of it counts for its digest. */
export type TaskJournal = {
  run: string
  handler: string
  queue: string
  askedBy: string | null
  acceptedAt: string
  startedAt: string
  settledAt: string
  state: string
  inputSha256: string | null
  outputSha256: string | null
}

/** The journal of these bytes. Throws with the reason unless they are one, of a version that is known. */
export function parseTaskJournal(bytes: Uint8Array): TaskJournal {
  const value = Object(JSON.parse(fromUtf8(bytes))) as Record<string, unknown>
  if (value.v !== 1 && value.v !== 2) throw new Error('not a journal of version 1 or 2')
  const attempts = Array.isArray(value.attempts) ? (value.attempts as unknown[]) : []
  const started = attempts
    .map((one) => (Object(one) as { started_at?: unknown }).started_at)
    .find((at) => typeof at === 'string')
  const acceptedAt = text(value, 'accepted_at')
  return {
    run: text(value, 'run'),
    handler: text(value, 'handler'),
    queue: text(value, 'queue'),
    askedBy: value.asked_by === null ? null : text(value, 'asked_by'),
    acceptedAt,
    startedAt: started === undefined ? acceptedAt : String(started),
    settledAt: text(value, 'settled_at'),
    state: text(value, 'state'),
    inputSha256: digest(value, 'input_sha256'),
    outputSha256: digest(value, 'output_sha256'),
  }
}

function text(value: Record<string, unknown>, key: string): string {
  const found = value[key]
  if (typeof found !== 'string') throw new Error(`${key} is no text`)
  return found
}

function digest(value: Record<string, unknown>, key: string): string | null {
  const found = value[key] === null ? null : text(value, key)
  if (found !== null && !/^[0-9a-f]{64}$/.test(found)) throw new Error(`${key} is no SHA-256`)
  return found
}

/**
 * Where the result of a task came from, as SLSA provenance v1: a function of its journal, its project and the log that holds its end, so
 * that whoever has these can make the same bytes. Undefined for a task without a result.
 */
export function taskStatement(
  journal: TaskJournal,
  of: { journalSha256: string; project: string; origin: string },
): Statement | undefined {
  const { run, inputSha256, outputSha256 } = journal
  if (outputSha256 === null) return undefined
  const named = (name: string, sha256: string) => ({ name: `${name}:${run}`, digest: { sha256 } })
  return provenanceStatement({
    products: [named('result', outputSha256)],
    builder: of.origin,
    run: { id: run, ticket: null, project: of.project },
    parameters: { handler: journal.handler, queue: journal.queue, askedBy: journal.askedBy },
    inputs: inputSha256 === null ? [] : [named('input', inputSha256)],
    byproducts: [named('journal', of.journalSha256)],
    startedAt: journal.startedAt,
    finishedAt: journal.settledAt,
  })
}

/** Whether the statement is exactly what the journal gives, for whichever project it names. */
export function isOfTask(
  statement: Statement,
  journal: TaskJournal,
  of: { journalSha256: string; origin: string },
): boolean {
  const { buildDefinition } = Object(statement.predicate) as { buildDefinition?: unknown }
  const { internalParameters } = Object(buildDefinition) as { internalParameters?: unknown }
  const project = String((Object(internalParameters) as { project?: unknown }).project)
  const made = taskStatement(journal, { ...of, project })
  return made !== undefined && canonicalize(made) === canonicalize(statement)
}
