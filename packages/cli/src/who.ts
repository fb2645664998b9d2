import { WritError } from '@writ/sdk'
import { type App, refOf } from './app.ts'
import { exitCodes } from './exit-codes.ts'
import { Failure, usage } from './failure.ts'
import { safeText, timeText } from './text.ts'

// People, tokens and webhooks go by their names on the command line; the API knows them by number or id.

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * Of a user, by name, number or id: what the API takes. What can be a number is one. Throws a usage failure if nobody here has that
 * name, and refuses whoever may not see the others, but for the own name.
 */
export async function userRef(app: App, ref: string): Promise<string> {
  if (/^#?\d+$/.test(ref) || ID.test(ref)) return refOf(ref)
  const client = await app.client()
  const like: string[] = []
  try {
    for await (const user of client.items('users.list', { query: { q: ref } })) {
      if (user.username === ref) return user.id
      like.push(user.username)
    }
  } catch (error) {
    if (!(error instanceof WritError) || error.code !== 'ROLE_NOT_ALLOWED') throw error
    const me = await client.auth.me()
    if (me.username === ref) return me.id
    throw new Failure(`Your role may not find people by their names, so who "${ref}" is cannot be told`, {
      advice: 'Give the number or the id.',
      exit: exitCodes.notAllowed,
      code: error.code,
    })
  }
  const near = like.slice(0, 3).map((name) => `"${name}"`)
  throw usage(
    `There is no user "${ref}" here`,
    near.length > 0 ? `Is it ${near.join(' or ')}?` : '"writ user list" shows them.',
  )
}

/**
 * Says who has a number: `li.na (#2)`, or `user #2` of who is among no thousand members, and for a token that may not ask.
 */
export async function openNames(app: App): Promise<(number: number) => string> {
  const client = await app.client()
  const names = new Map<number, string>()
  try {
    for (const { user_number, username } of await client.projects.members({ query: { limit: 1000 } }))
      names.set(user_number, username)
  } catch (error) {
    if (!(error instanceof WritError) || error.status !== 403) throw error
  }
  return (number) => {
    const name = names.get(number)
    return name === undefined ? `user #${number}` : `${safeText(name)} (#${number})`
  }
}

/**
 * A token, by name or id, with what to call it. Names are not unique: one that several tokens have which still work is refused, and so
 * is one that only useless ones have.
 */
export async function tokenRef(app: App, ref: string): Promise<{ id: string; said: string }> {
  if (ID.test(ref)) return { id: ref, said: ref }
  const now = app.terminal.now().getTime()
  const named = (await (await app.client()).all('tokens.list')).filter(({ name }) => name === ref)
  const live = named.filter(({ revoked_at, expires_at }) => revoked_at === null && Date.parse(expires_at) > now)
  if (named.length === 0) throw usage(`There is no token "${ref}" that you may see`, '"writ token list" shows them.')
  if (live.length === 0) throw usage(`Every token "${ref}" is revoked or expired`, '"writ token list" shows them.')
  return onlyOne(ref, 'tokens', live, ({ created_at }) => `of ${timeText(created_at)}`)
}

/** A webhook, by name or id, with what to call it. Names are not unique: one that several have is refused. */
export async function webhookRef(app: App, ref: string): Promise<{ id: string; said: string }> {
  if (ID.test(ref)) return { id: ref, said: ref }
  const named = (await (await app.client()).all('webhooks.list')).filter(({ name }) => name === ref)
  if (named.length === 0) throw usage(`There is no webhook "${ref}" here`, '"writ webhook list" shows them.')
  return onlyOne(ref, 'webhooks', named, ({ url }) => `to ${url}`)
}

/** The one of that name, of at least one. Throws a usage failure that tells several apart. */
function onlyOne<T extends { readonly id: string }>(
  ref: string,
  what: string,
  found: readonly T[],
  apart: (one: T) => string,
): { id: string; said: string } {
  if (found.length === 1) return { id: found[0]!.id, said: `${ref} (${found[0]!.id})` }
  const some = found.slice(0, 5).map((one) => `${one.id} (${apart(one)})`)
  throw usage(
    `${found.length} ${what} are called "${ref}": ${some.join(', ')}${found.length > some.length ? ', ...' : ''}`,
    'Give the id of one.',
  )
}
