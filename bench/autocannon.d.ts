/** What the suites use of autocannon, which brings no types. Rates are per second, durations in seconds. */
declare module 'autocannon' {
  interface Result {
    readonly requests: { readonly average: number }
    readonly '2xx': number
    readonly non2xx: number
    readonly errors: number
  }
  export default function autocannon(options: {
    url: string
    method: string
    connections: number
    duration: number
    headers: Record<string, string>
    body: string
  }): Promise<Result>
}
