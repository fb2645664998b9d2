/** The peer of the ticket and dispatch figures: bare Fastify routes with the same validation, which store nothing. */
import { dispatchApi, ticketsApi } from '@writ/api'
import { fastify } from 'fastify'

const app = fastify()
app.post('/tickets', { schema: { body: ticketsApi.create.body } }, async (request) => ({
  ...(request.body as object),
  id: '01900000-0000-7000-8000-000000000000',
  number: 1,
}))
app.post('/dispatch', { schema: { body: dispatchApi.dispatch.body } }, async () => ({
  accepted: true,
  task_id: '01900000-0000-7000-8000-000000000000',
}))
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`)
