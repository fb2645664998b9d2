import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'

const require = createRequire(import.meta.url)

/** The API document at `<prefix>/openapi.json`, Swagger UI at `<prefix>/docs`, ReDoc at `<prefix>/redoc`. All from here, nothing from elsewhere. */
export async function serveDocs(app: FastifyInstance, document: object, prefix: string, title: string): Promise<void> {
  const text = JSON.stringify(document)
  app.get(`${prefix}/openapi.json`, { schema: { hide: true } as object }, async (_, reply) =>
    reply.type('application/json; charset=utf-8').send(text),
  )

  await app.register(async (docs) => {
    // The interface asks the plugin that would generate a document; ours exists already.
    docs.decorate('swagger', (() => document) as never)
    docs.addHook('onSend', async (_, reply) => {
      // The pages carry their own scripts and inline styles; everything is still ours.
      reply.header(
        'content-security-policy',
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'",
      )
    })
    await docs.register(swaggerUi, {
      routePrefix: `${prefix}/docs`,
      uiConfig: { deepLinking: true, persistAuthorization: false },
      theme: { title },
    })
    const bundle = await readFile(require.resolve('redoc/bundles/redoc.standalone.js'))
    docs.get(`${prefix}/redoc/redoc.js`, async (_, reply) =>
      reply.type('text/javascript; charset=utf-8').header('cache-control', 'public, max-age=86400').send(bundle),
    )
    docs.get(`${prefix}/redoc`, async (_, reply) =>
      reply
        .type('text/html; charset=utf-8')
        .send(
          `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escapeHtml(title)}</title></head><body style="margin:0"><redoc spec-url="${prefix}/openapi.json"></redoc><script src="${prefix}/redoc/redoc.js"></script></body></html>`,
        ),
    )
  })
}

const escapeHtml = (text: string) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)
