import type { FastifyRequest } from 'fastify'

/** Aborts when the client has gone, so that nothing waits or reads for nobody. */
export function goneOf(request: FastifyRequest): AbortSignal {
  const gone = new AbortController()
  request.raw.once('close', () => gone.abort())
  return gone.signal
}
