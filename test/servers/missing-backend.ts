/**
 * What a test does when a backend cannot be had: it is skipped, and the reason is printed. On CI everything is installed, so there
 * a missing backend is an error: a suite that silently shrinks proves nothing.
 * @returns the reason to skip, or false to run
 */
export function missingBackend(name: string, reason: string | undefined): string | false {
  if (reason === undefined) return false
  if (process.env.CI) throw new Error(`${name} has to be there on CI: ${reason}`)
  return `${name}: ${reason}`
}
