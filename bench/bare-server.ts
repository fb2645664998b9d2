/** The peer of the ticket figures: a bare Fastify route with the same validation, which stores nothing. */
import { ticketsApi } from '@writ/api'
import { fastify } from 'fastify'

const app = fastify()
app.post('/tickets', { schema: { body: ticketsApi.create.body } }, async (request) => ({
  ...(request.body as object),
  id: '01900000-0000-7000-8000-000000000000',
  number: 1,
}))
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
