import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'

/** Everything comes from here, nothing runs that stands in the page itself, and nobody may frame it. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

/**
 * The page on which a person approves a ticket with a passkey, `/approve/<ticket>?project=<slug>`: until there is more of
 * a console. It holds no data; what it shows comes through the API, with the cookie of whoever logged in on it.
 */
export async function serveApprovePage(
  app: FastifyInstance,
  { basePath, prefix, passkeyHost }: { basePath: string; prefix: string; passkeyHost: string },
): Promise<void> {
  const load = (name: string) => readFile(new URL(`./page/${name}`, import.meta.url), 'utf8')
  const [html, css, js] = await Promise.all([load('approve.html'), load('approve.css'), load('approve.js')])
  const files = {
    '/approve/:ticket': [
      'text/html; charset=utf-8',
      html
        .replaceAll('{base}', basePath)
        .replace('{prefix}', basePath + prefix)
        .replace('{passkey-host}', passkeyHost),
    ],
    '/approve/page.css': ['text/css; charset=utf-8', css],
    '/approve/page.js': ['text/javascript; charset=utf-8', js],
  } as const
  for (const [path, [type, body]] of Object.entries(files))
    app.get(path, async (_, reply) =>
      reply.type(type).header('content-security-policy', POLICY).header('cache-control', 'no-cache').send(body),
    )
}
