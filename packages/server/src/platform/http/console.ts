import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import type { FastifyInstance } from 'fastify'
import { AppError } from '../app-error.ts'
import { ifThere } from '../if-there.ts'

/** Of the bundle's files: they carry the hash of their contents in their names. `-` cannot begin a project's slug. */
const FILES = '/app/-/'

/** A name as the build makes them. Nothing else from outside becomes a path: neither a folder nor a way out of this one. */
const NAME = /^[\w-][\w.-]*$/

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json; charset=utf-8',
}

/** The bundle's files stand there compressed, best first. Browsers take brotli over HTTPS and on localhost. */
const CODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const
/** Whether a header names a content coding, and not as one that is not wanted (`br;q=0`). */
const named = (header: string, coding: string): boolean =>
  header.split(',').some((one) => {
    const [word, weight = ''] = one.split(';')
    return word!.trim().toLowerCase() === coding && !/^\s*q=0(\.0*)?\s*$/.test(weight)
  })

/**
 * Everything comes from here, and nothing runs that stands in the page. The style library writes the theme's variables
 * into `<style>` elements, which carry the nonce of this answer. `blob:` shows images of evidence that were checked.
 */
const policy = (nonce: string) =>
  `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' blob:; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`

/**
 * The console at `/app`: a built bundle from a folder. Every path below answers the same page, whose script looks at the
 * address. Without a bundle the page says how to get one, and the server does all else.
 */
export async function serveConsole(
  app: FastifyInstance,
  on: {
    folder: string
    /** See `basePathOf`. */
    basePath: string
    prefix: string
    name: string
    /** Whether people can log in at an identity provider. */
    identityProvider: boolean
    /** The host of the addresses at which passkeys are made and used. */
    passkeyHost: string
  },
): Promise<void> {
  const index = path.join(on.folder, 'index.html')
  // Built again while the server runs, the files of the old page are gone: the new one is read, as it would be after a start.
  let html: { readonly text: string; readonly from: number } | null = null
  const readHtml = async (): Promise<string | null> => {
    const from = await stat(index).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    )
    if (from !== null && from !== html?.from) {
      const text = await ifThere(readFile(index), null)
      // The page stands at addresses of any depth; what it loads is named from the folder of the bundle.
      if (text) html = { text: text.toString('utf8').replaceAll('="./-/', `="${on.basePath}${FILES}`), from }
    }
    return html?.text ?? null
  }

  app.get(`${FILES}*`, { config: { rateLimit: false }, compress: false }, async (request, reply) => {
    const { '*': name } = request.params as { '*': string }
    if (!NAME.test(name)) throw new AppError('ROUTE_NOT_FOUND')
    const file = path.join(on.folder, '-', name)
    const accepted = String(request.headers['accept-encoding'] ?? '')
    let bytes: Buffer | null = null
    for (const [coding, ending] of CODINGS) {
      if (!named(accepted, coding)) continue
      bytes = await ifThere(readFile(file + ending), null)
      if (!bytes) continue
      reply.header('content-encoding', coding)
      break
    }
    bytes ??= await ifThere(readFile(file), null)
    if (!bytes) throw new AppError('ROUTE_NOT_FOUND')
    return reply
      .type(TYPES[path.extname(name)] ?? 'application/octet-stream')
      .header('vary', 'accept-encoding')
      .header('cache-control', 'public, max-age=31536000, immutable')
      .send(bytes)
  })

  const page = async (): Promise<{ nonce: string; body: string; built: boolean }> => {
    const built = await readHtml()
    const nonce = randomBytes(16).toString('base64url')
    const signIn = on.identityProvider ? 'oidc' : 'password'
    const filled = {
      nonce,
      base: on.basePath,
      prefix: on.basePath + on.prefix,
      name: escapeHtml(on.name),
      signIn,
      passkeyHost: on.passkeyHost,
    }
    const text = built ?? MISSING
    return {
      nonce,
      built: built !== null,
      body: text.replace(
        /%writ\.(nonce|base|prefix|name|signIn|passkeyHost)%/g,
        (_, key: keyof typeof filled) => filled[key],
      ),
    }
  }
  for (const url of ['/app', '/app/*'])
    app.get(url, async (_, reply) => {
      const { nonce, body, built } = await page()
      return reply
        .code(built ? 200 : 503)
        .type('text/html; charset=utf-8')
        .header('content-security-policy', policy(nonce))
        .header('cache-control', 'no-cache')
        .send(body)
    })
}

const MISSING = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>%writ.name%</title></head><body><h1>The console was not built</h1><p>This server runs without it. Run <code>npm run build:console</code> and start the server again. The API is at <a href="%writ.prefix%/docs">%writ.prefix%/docs</a>.</p><p lang="zh-CN">控制台尚未构建：请运行 <code>npm run build:console</code>，然后重新启动服务器。</p></body></html>`

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
