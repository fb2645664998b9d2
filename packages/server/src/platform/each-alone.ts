import { DatabaseUnavailable } from './db/index.ts'

const meetsAll = (error: unknown): boolean => error instanceof DatabaseUnavailable

/**
 * Does something for each of several, one after the other. What one of them has met by itself, such as a folder that cannot be written, holds
 * up no other: the first failure is thrown when each had its turn. What all would meet is thrown at once.
 */
export async function eachAlone<T>(
  all: Iterable<T>,
  work: (one: T) => Promise<unknown>,
  stops: (error: unknown) => boolean = meetsAll,
): Promise<void> {
  let failed: { readonly error: unknown } | undefined
  for (const one of all)
    try {
      await work(one)
    } catch (error) {
      if (stops(error)) throw error
      failed ??= { error }
    }
  if (failed) throw failed.error
}
