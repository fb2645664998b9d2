/**
 * How many milliseconds an answer asks to wait; null if it does not say. Seconds or a date.
 * Source: RFC 9110, 10.2.3.
 */
export function retryAfterOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  now: number,
): number | null {
  const text = headers['retry-after']
  if (typeof text !== 'string' || text.length > 40) return null
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1_000
  const at = Date.parse(text)
  return Number.isNaN(at) ? null : Math.max(0, at - now)
}
