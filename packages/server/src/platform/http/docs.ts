import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { FastifyInstance } from 'fastify'

const require = createRequire(import.meta.url)

/** The pages' own scripts and inline styles; everything is served from here, nothing from elsewhere. */
const POLICY =
  "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"

/** ReDoc asks its maker's host for a logo, and shows none if it does not get it. The policy forbids that, and every browser complained. */
const LOGO = 'https://cdn.redoc.ly/redoc/logo-mini.svg'
const NO_IMAGE = 'data:,'

/** Swagger UI has a dark look, and leaves it to a button of a bar that is not here. */
const FOLLOW_SCHEME = `const dark = matchMedia('(prefers-color-scheme: dark)')
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches)
dark.addEventListener('change', follow)
follow()`

/** The API document, which is made when somebody asks for it, at `<API prefix>/openapi.json`, Swagger UI at `docs` beside it, ReDoc at `redoc`. */
export async function serveDocs(
  app: FastifyInstance,
  document: () => object,
  basePath: string,
  apiPrefix: string,
  title: string,
): Promise<void> {
  const prefix = basePath + apiPrefix
  let text: string | undefined
  const swagger = join(dirname(require.resolve('@fastify/swagger-ui/package.json')), 'static')
  // The bundles are read when somebody looks: megabytes that an idle server need not hold.
  const files: Record<string, { type: string; body: string | (() => string | Promise<Buffer | string>) }> = {
    '/openapi.json': { type: 'application/json; charset=utf-8', body: () => (text ??= JSON.stringify(document())) },
    '/docs': {
      type: 'text/html; charset=utf-8',
      body: page(
        title,
        `<link rel="stylesheet" href="${prefix}/docs/swagger-ui.css"><div id="swagger-ui"></div><script src="${prefix}/docs/swagger-ui-bundle.js"></script><script src="${prefix}/docs/start.js"></script>`,
      ),
    },
    '/docs/swagger-ui.css': { type: 'text/css; charset=utf-8', body: () => readFile(join(swagger, 'swagger-ui.css')) },
    '/docs/swagger-ui-bundle.js': {
      type: 'text/javascript; charset=utf-8',
      body: () => readFile(join(swagger, 'swagger-ui-bundle.js')),
    },
    '/docs/start.js': {
      type: 'text/javascript; charset=utf-8',
      body: `${FOLLOW_SCHEME}
SwaggerUIBundle({ url: ${JSON.stringify(`${prefix}/openapi.json`)}, dom_id: '#swagger-ui', deepLinking: true, presets: [SwaggerUIBundle.presets.apis] })`,
    },
    '/redoc': {
      type: 'text/html; charset=utf-8',
      body: page(
        title,
        `<redoc spec-url="${prefix}/openapi.json"></redoc><script src="${prefix}/redoc/redoc.js"></script>`,
      ),
    },
    '/redoc/redoc.js': {
      type: 'text/javascript; charset=utf-8',
      body: async () =>
        (await readFile(require.resolve('redoc/bundles/redoc.standalone.js'), 'utf8')).replaceAll(LOGO, NO_IMAGE),
    },
  }
  for (const [path, { type, body }] of Object.entries(files)) {
    app.get(apiPrefix + path, async (_, reply) => {
      reply.type(type).header('content-security-policy', POLICY)
      if (path.endsWith('.js') || path.endsWith('.css')) reply.header('cache-control', 'public, max-age=86400')
      return reply.send(typeof body === 'string' ? body : await body())
    })
  }
}

const page = (title: string, body: string) =>
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="${NO_IMAGE}"><title>${escapeHtml(title)}</title></head><body style="margin:0">${body}</body></html>`

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
