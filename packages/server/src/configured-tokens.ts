/**
 * API tokens of the configuration: `API_TOKENS`, `API_TOKEN` and `API_ROLE`, as the task gateway that Writ replaces has them. They
 * speak on the dispatch door alone.
 */
import type { Role } from '@writ/api'
import { Secret } from './platform/secret.ts'
import type { Kind } from './setting-kinds.ts'

export interface ConfiguredToken {
  readonly token: Secret<string>
  /** As the configuration has it. */
  readonly word: Word
  readonly role: Role
  /** Endpoints of the dispatch door. */
  readonly scopes: readonly string[]
}

/** Before it is known whether the role is one; null: that of `API_ROLE`. */
interface Written {
  readonly token: Secret<string>
  readonly word: string | null
}

const SHORTEST = 16

// What the gateway's `public` could do anybody's token can; its `trusted` may have Feishu's token besides.
const door = [
  'dispatch.dispatch',
  'dispatch.status',
  'dispatch.detail',
  'dispatch.tasks',
  'dispatch.forward',
  'dispatch.deadLetters',
  'dispatch.deadLetter',
  'dispatch.replay',
  'dispatch.purge',
  'dispatch.logFiles',
  'dispatch.logFile',
]
const words = {
  public: { role: 'dev', scopes: door },
  trusted: { role: 'dev', scopes: [...door, 'dispatch.feishuToken'] },
  dev: { role: 'dev', scopes: door },
  ops: { role: 'ops', scopes: door },
  admin: { role: 'admin', scopes: door },
} as const satisfies Record<string, Pick<ConfiguredToken, 'role' | 'scopes'>>
type Word = keyof typeof words

const isWord = (word: string): word is Word => Object.hasOwn(words, word)

/** A JSON object of token to role, or tokens with commas between. */
export const tokensOfRoles: Kind<readonly Written[]> = {
  expected: 'a JSON object of token to role, or tokens separated by commas',
  parse(given) {
    if (!given.trimStart().startsWith('{')) {
      const tokens = given.split(',').map((one) => one.trim())
      return tokens.includes('') ? undefined : tokens.map((token) => ({ token: new Secret(token), word: null }))
    }
    try {
      const found = Object.entries(JSON.parse(given) as Record<string, unknown>)
      if (found.some(([, word]) => typeof word !== 'string')) return undefined
      return found.map(([token, word]) => ({ token: new Secret(token), word: word as string }))
    } catch {
      return undefined
    }
  },
  show: (tokens) => tokens.map(({ word }) => `[secret]${word === null ? '' : `: ${word}`}`).join(', '),
  secret: true,
}

interface Settings {
  readonly apiTokens?: readonly Written[] | undefined
  readonly apiToken?: Secret<string> | undefined
  readonly apiRole: string
}

/** The tokens that may be used, or what is wrong with them; no token is in a message. */
export function readConfiguredTokens(settings: Settings): { tokens: ConfiguredToken[]; problems: string[] } {
  const problems: string[] = []
  const written = [
    // By its place, which is all that may be said of it.
    ...(settings.apiTokens ?? []).map((one, i) => ({ ...one, from: `API_TOKENS, token ${i + 1}` })),
    ...(settings.apiToken ? [{ token: settings.apiToken, word: null, from: 'API_TOKEN' }] : []),
  ]
  const tokens = new Map<string, ConfiguredToken>()
  for (const { token, word: said, from } of written) {
    const text = token.reveal()
    const word = said ?? settings.apiRole
    const wrong = faultOf(text)
    if (wrong !== null) problems.push(`${from}: ${wrong}`)
    if (!isWord(word)) {
      const roles = Object.keys(words).join(', ')
      problems.push(`${said === null ? 'API_ROLE' : from}: expected a role (${roles}), found "${word}"`)
    } else if (tokens.has(text)) problems.push(`${from}: the same token is there twice`)
    else tokens.set(text, { token, word, ...words[word] })
  }
  return { tokens: [...tokens.values()], problems: [...new Set(problems)] }
}

function faultOf(token: string): string | null {
  if (token.length < SHORTEST) return `a token needs at least ${SHORTEST} characters`
  if (!/^[\x21-\x7e]+$/.test(token)) return 'a token has printable characters of ASCII without spaces'
  if (token.startsWith('writ_'))
    return 'tokens that begin with "writ_" are made by "writ token create" and need no setting'
  // Of few different characters, or the words of examples, whoever tries tries them first.
  const example = /(change[-_ ]?me|your[-_ ]?(api)?[-_ ]?(token|key)|example|placeholder|password|secret[-_ ]?token)/i
  return new Set(token).size < 8 || example.test(token)
    ? 'a token that can be guessed is no secret: take 32 random characters'
    : null
}
