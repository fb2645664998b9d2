/** Makes something when it is asked for the first time, and never again. */
export function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}
