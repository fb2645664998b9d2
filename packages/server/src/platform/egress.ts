/**
 * Requests to addresses that users name. The name is resolved once, every address that it has is checked, and the
 * connection goes to a checked address: there is no second lookup that could answer otherwise. Each redirect is a new
 * destination and checked again. Source: OWASP Server-Side Request Forgery Prevention; IANA special-purpose registries.
 */
import { lookup } from 'node:dns/promises'
import type { Agent, RequestOptions } from 'node:http'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { createAddressSet, plainAddress } from './http/client-address.ts'

export interface EgressSettings {
  /** Addresses, CIDR ranges and host names that may be reached although they are private, or by plain http. */
  readonly allow: readonly string[]
  /** A server that only this machine can reach may call this machine. */
  readonly loopback: boolean
}

export interface Outgoing {
  readonly url: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  /** Goes to the first origin only; a redirect to another one does not get these. */
  readonly credentials?: Readonly<Record<string, string>>
  readonly body?: string
  /** For all of it: name, connection, redirects, answer. */
  readonly timeoutMs: number
  /** What is kept of the answer; the rest is not read. */
  readonly maxBytes: number
  readonly signal?: AbortSignal
  /**
   * Over a connection that was kept, where there is one. The other side may close that under the request, which is then sent again: only
   * for what may arrive twice.
   */
  readonly reuse?: true
}

export interface Incoming {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** At most `maxBytes`. */
  readonly body: Buffer
}

/** The destination is one that this server must not call. `message` names the setting that would allow it. */
export class EgressRefused extends Error {
  constructor(reason: string) {
    super(reason)
    this.name = 'EgressRefused'
  }
}

/** No answer came in time. */
export class EgressTimeout extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms} ms`)
    this.name = 'EgressTimeout'
  }
}

export interface Egress {
  /** Throws EgressRefused if the url can never be called: scheme, credentials in it, a forbidden literal address or port. */
  check(url: string): void
  /** Answers whatever status came; throws EgressRefused, EgressTimeout, or the error of the connection. */
  send(outgoing: Outgoing): Promise<Incoming>
}

/** The way out of a project, by its id. */
export type EgressOf = (project: string) => Promise<Egress>

const MAX_REDIRECTS = 3
/** A connection on which nothing was asked for so long is closed: before most servers would. */
const KEPT_MS = 4_000

// Not global unicast, after the IANA IPv4 and IPv6 special-purpose address registries. For IPv6 it is said the other way
// round: only 2000::/3 is global unicast, and of that these are not.
const special4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]
const special6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']
const special = createAddressSet([...special4, ...special6])
const global6 = new BlockList()
global6.addSubnet('2000::', 3, 'ipv6')
const loopbacks = createAddressSet(['127.0.0.0/8', '::1'])

/** Whether an address is on the public internet. An IPv4 address inside an IPv6 one is judged as what it is. */
export function isPublic(address: string): boolean {
  const plain = plainAddress(address)
  if (isIP(plain) === 6 && !global6.check(plain, 'ipv6')) return false
  return isIP(plain) !== 0 && !special.has(plain)
}

type Resolve = (name: string) => Promise<{ address: string; family: number }[]>
let loading: Promise<[typeof import('node:http'), typeof import('node:https')]> | undefined
const resolveName: Resolve = (name) => lookup(name, { all: true, verbatim: true })

/**
 * The way out of each project, by its id. What `allow` names as `10.0.0.0/8@netops` is for the project of that slug alone, all else for
 * every project. A slug stays, so it is asked for once.
 */
export function createEgressOf(
  settings: EgressSettings,
  slugOf: (project: string) => Promise<string | undefined>,
): EgressOf {
  const entries = settings.allow.map((entry) => entry.split('@') as [string, string?])
  const common = entries.filter(([, slug]) => slug === undefined)
  const open = (allowed: typeof entries) =>
    createEgress({ allow: allowed.map(([destination]) => destination), loopback: settings.loopback })
  const shared = open(common)
  const bySlug = Map.groupBy(entries, ([, slug]) => slug)
  bySlug.delete(undefined)
  const own = new Map([...bySlug].map(([slug, theirs]) => [slug, open([...common, ...theirs])] as const))
  const known = new Map<string, Egress>()
  return async (project) => {
    if (own.size === 0) return shared
    const before = known.get(project)
    if (before) return before
    const egress = own.get(await slugOf(project)) ?? shared
    known.set(project, egress)
    return egress
  }
}

/** `resolve` is replaced in tests, to play a name server that changes its mind. */
export function createEgress(settings: EgressSettings, resolve: Resolve = resolveName): Egress {
  const networks = createAddressSet(settings.allow.filter((item) => isIP(item.split('/')[0]!) !== 0))
  const names = new Set(
    settings.allow.filter((item) => isIP(item.split('/')[0]!) === 0).map((item) => item.toLowerCase()),
  )

  const isAllowedAddress = (address: string) =>
    networks.has(address) || (settings.loopback && loopbacks.has(plainAddress(address)))

  /** What can be said before a name is resolved. */
  function examine(text: string): { url: URL; host: string } {
    if (!URL.canParse(text)) throw new EgressRefused('this is no url')
    const url = new URL(text)
    if (url.protocol !== 'https:' && url.protocol !== 'http:')
      throw new EgressRefused(`only http and https are called, not ${url.protocol}`)
    if (url.username !== '' || url.password !== '')
      throw new EgressRefused('a url with a user or password is not called')
    const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase()
    if (isIP(host) !== 0) mayReach(url, host, [host])
    return { url, host }
  }

  /** Every address must be allowed: a name that has a private one beside a public one is refused. */
  function mayReach(url: URL, host: string, addresses: readonly string[]): void {
    const trusted = names.has(host) || addresses.every(isAllowedAddress)
    if (trusted) return
    const bad = addresses.find((address) => !isPublic(address) && !isAllowedAddress(address))
    if (bad !== undefined)
      throw new EgressRefused(
        `${host} is at ${bad}, which is not a public address; WRIT_EGRESS_ALLOW would have to name it`,
      )
    if (url.protocol === 'http:')
      throw new EgressRefused(`${host} would be called without TLS; use https, or name it in WRIT_EGRESS_ALLOW`)
    const port = Number(url.port || 443)
    if (port !== 443 && port < 1024)
      throw new EgressRefused(`port ${port} of ${host} is not called; WRIT_EGRESS_ALLOW would have to name the host`)
  }

  /**
   * Keeps connections, apart by the addresses that were checked: a name that has others by now gets a connection of its own. What is
   * kept and idle holds up no process that wants to end.
   */
  const agents = new Map<string, Agent>()
  function agentFor(protocol: string, Kind: typeof Agent): Agent {
    const known = agents.get(protocol)
    if (known) return known
    const agent = new Kind({ keepAlive: true, timeout: KEPT_MS })
    const nameOf = agent.getName.bind(agent)
    agent.getName = (options) => `${nameOf(options)}:${(options as { checked?: string } | undefined)?.checked}`
    agents.set(protocol, agent)
    return agent
  }

  async function sendOnce(
    out: Outgoing,
    target: URL,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Incoming> {
    const { url, host } = examine(target.href)
    const found =
      isIP(host) !== 0 ? [{ address: host, family: isIP(host) }] : await untilAborted(() => resolve(host), signal)
    if (found.length === 0) throw new EgressRefused(`${host} has no address`)
    mayReach(
      url,
      host,
      found.map((one) => one.address),
    )
    // The socket asks for the name and gets what was checked; TLS still verifies the certificate against the name.
    const pinned: LookupFunction = (_name, options, done) => {
      if (options.all) done(null, found)
      else done(null, found[0]!.address, found[0]!.family)
    }
    // Not imported above: as a module of its own kind Node makes it with all that it could need, for which a start would wait.
    loading ??= Promise.all([import('node:http'), import('node:https')])
    const [http, https] = await loading
    const { request: send, Agent } = url.protocol === 'https:' ? https : http
    return new Promise<Incoming>((answer, fail) => {
      const checked = found.map(({ address }) => address).join()
      const options: RequestOptions & { checked: string } = {
        method: out.method,
        headers,
        lookup: pinned,
        checked,
        agent: out.reuse ? agentFor(url.protocol, Agent) : false,
        maxHeaderSize: 16_384,
        signal,
      }
      const request = send(url, options)
      let answers = false
      // Asked for by nobody: Node closes the connection, and would say neither that it failed nor what came.
      request.once('upgrade', ({ statusCode = 0, headers }, socket) => {
        socket.destroy()
        answer({ status: statusCode, headers, body: Buffer.alloc(0) })
      })
      // What else ends without a word would be waited for beyond every limit.
      request.once('close', () => {
        if (!answers) fail(Object.assign(new Error('closed without an answer'), { code: 'ECONNRESET' }))
      })
      request.once('error', (error: NodeJS.ErrnoException) => {
        const wasClosed = request.reusedSocket && !answers && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        if (wasClosed) answer(sendOnce({ ...out, reuse: undefined }, target, headers, signal))
        else fail(error)
      })
      request.once('response', (response) => {
        answers = true
        const chunks: Buffer[] = []
        let size = 0
        const end = () => {
          response.destroy()
          answer({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).subarray(0, out.maxBytes),
          })
        }
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          size += chunk.length
          if (size >= out.maxBytes) end()
        })
        response.once('end', end)
        response.once('error', fail)
      })
      request.end(out.body)
    })
  }

  return {
    check: (url) => {
      examine(url)
    },
    async send(out) {
      const timeout = AbortSignal.timeout(out.timeoutMs)
      const signal = out.signal ? AbortSignal.any([timeout, out.signal]) : timeout
      const first = examine(out.url).url
      let target = first
      try {
        for (let hop = 0; ; hop++) {
          const headers: Record<string, string> = {
            ...out.headers,
            ...(target.origin === first.origin ? out.credentials : {}),
          }
          if (out.body !== undefined) headers['content-length'] = String(Buffer.byteLength(out.body))
          const answer = await sendOnce(out, target, headers, signal)
          const to = redirectOf(answer, target, out.method)
          if (to === undefined) return answer
          if (hop === MAX_REDIRECTS) throw new EgressRefused(`more than ${MAX_REDIRECTS} redirects`)
          if (target.protocol === 'https:' && to.protocol === 'http:')
            throw new EgressRefused(`a redirect from https to ${to.origin} is not followed`)
          target = to
        }
      } catch (error) {
        if (timeout.aborted) throw new EgressTimeout(out.timeoutMs)
        throw error
      }
    },
  }
}

/** Where to go on. A POST is only repeated where the status says that it stays one (307, 308); RFC 9110, 15.4. */
function redirectOf(answer: Incoming, from: URL, method: string): URL | undefined {
  const repeats = answer.status === 307 || answer.status === 308
  if (!repeats && !(method === 'GET' && [301, 302, 303].includes(answer.status))) return undefined
  const { location } = answer.headers
  return typeof location === 'string' && URL.canParse(location, from.href) ? new URL(location, from.href) : undefined
}

/** Nothing is begun that nobody waits for: its failure would end the process. */
function untilAborted<T>(begin: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    begin()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', stop))
  })
}
