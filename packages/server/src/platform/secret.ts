/** A value that must not be shown: it prints as [secret] wherever something prints it, and only `reveal` gives it away. */
import { inspect } from 'node:util'

export class Secret<T> {
  // A private field: spreading, structuredClone, Object.values and debuggers' property lists do not reach it.
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** The value itself. Call it where the value is used, and keep the result no longer than that. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
