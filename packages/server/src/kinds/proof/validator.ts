// The seam between proof runs and the checks they make. A published `name@version` never changes meaning: old evidence must
// re-verify to the same finding, so a changed rule is a new version beside the old one.
import type { Static, TSchema } from 'typebox'
import type { LibraryVersions } from './libraries.ts'
import type { Problem } from './problem.ts'

/** Which side of a change a file shows. */
export type EvidenceRole = 'before' | 'after'

/** One file put forward as evidence. `bytes` and `stream` may reject when storage fails; each call reads afresh. */
export interface Evidence {
  /** The file name as the person uploaded it, never a path to open. */
  readonly name: string
  /** Recorded size in bytes. */
  readonly size: number
  /** Recorded SHA-256, 64 lower-case hex digits. */
  readonly sha256: string
  readonly role?: EvidenceRole
  /** The SHA-256 that somebody announced beforehand, in hex. */
  readonly expectedSha256?: string
  bytes(): Promise<Uint8Array>
  stream(): AsyncIterable<Uint8Array>
}

/** What a validator found. `valid` is false exactly when `errors` is not empty. Bad evidence is a finding, never an exception. */
export interface Finding {
  readonly valid: boolean
  readonly errors: string[]
  readonly warnings: string[]
  readonly report: Record<string, unknown>
}

interface Described {
  /** The name without its version, such as `config_format`. */
  readonly name: string
  /** The frozen version, such as 1. */
  readonly version: number
  /** JSON Schema of the parameters. */
  readonly params: TSchema
  /** The libraries whose behaviour the finding depends on. */
  readonly libraries: LibraryVersions
  /** What the schema cannot say: bad regular expressions, bad schemas, rules that ask for nothing. Paths are relative to the parameters. */
  examineParams(params: unknown): Problem[]
  /** Why nothing new is judged by it with these parameters; what it judged before is still verified by it. */
  retired?(params: unknown): string | undefined
}

/** Judges each file alone. */
export interface FileValidator extends Described {
  readonly scope: 'file'
  /** Throws only when storage fails or the validator itself is broken. `params` must have passed the schema and `examineParams`. */
  check(evidence: Evidence, params: unknown): Promise<Finding>
}

/** Judges the files of a run together. */
export interface SetValidator extends Described {
  readonly scope: 'set'
  /** As for one file; which files were looked at stands in `report.files`. */
  check(evidence: readonly Evidence[], params: unknown): Promise<Finding>
}

export type Validator = FileValidator | SetValidator

interface Definition<S extends TSchema, Subject> {
  name: string
  version: number
  params: S
  libraries: LibraryVersions
  examineParams?(params: Static<S>): Problem[]
  retired?: ((params: Static<S>) => string | undefined) | undefined
  check(subject: Subject, params: Static<S>): Promise<Finding>
}

/** Makes a validator of single files; the parameters are typed inside and checked at definition of the rule set. */
export function fileValidator<S extends TSchema>(definition: Definition<S, Evidence>): FileValidator {
  return { ...erased(definition), scope: 'file' }
}

/** Makes a validator of the whole set of files. */
export function setValidator<S extends TSchema>(definition: Definition<S, readonly Evidence[]>): SetValidator {
  return { ...erased(definition), scope: 'set' }
}

function erased<S extends TSchema, Subject>(definition: Definition<S, Subject>) {
  return {
    name: definition.name,
    version: definition.version,
    params: definition.params,
    libraries: definition.libraries,
    // Static<S> is what the schema checked: a rule set passes examineRuleSet before anything calls a validator.
    examineParams: (params: unknown) => definition.examineParams?.(params as Static<S>) ?? [],
    retired: (params: unknown) => definition.retired?.(params as Static<S>),
    check: (subject: Subject, params: unknown) => definition.check(subject, params as Static<S>),
  }
}

/** The finding that follows from what was noted: no errors, valid. */
export function finding(errors: string[], warnings: string[], report: Record<string, unknown>): Finding {
  return { valid: errors.length === 0, errors, warnings, report }
}

/** The name under which rule sets and reports cite a validator: `config_format@1`. */
export function citation(validator: Validator): string {
  return `${validator.name}@${validator.version}`
}
