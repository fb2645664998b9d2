import { type ErrorCode, errors } from '@writ/api'

export interface FieldError {
  readonly path: string
  readonly message: string
  readonly code?: string
}

/** A refusal that crosses the wire: a code of the table, the facts its sentence names, and field errors if any. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly facts: Readonly<Record<string, string | number>>
  readonly fields: readonly FieldError[]
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: ErrorCode,
    facts: Record<string, string | number> = {},
    more: { fields?: readonly FieldError[]; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    const { status, text } = errors[code]
    super(
      // A reason that is a sentence of its own ends the sentence that it is put into.
      text.replace(/\{(\w+)\}(\.?)/g, (_, name: string, stop: string) =>
        stop === '' ? String(facts[name] ?? '') : `${String(facts[name] ?? '').replace(/\.+$/, '')}.`,
      ),
      more.cause === undefined ? {} : { cause: more.cause },
    )
    this.name = 'AppError'
    this.code = code
    this.status = status
    this.facts = facts
    this.fields = more.fields ?? []
    this.headers = more.headers ?? {}
  }
}
