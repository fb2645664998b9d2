/** Tasks of a system in this process, through the functions that the routes call. */
import assert from 'node:assert/strict'
import type { NewTask, Role, Submitted, TaskDetail } from '@writ/api'
import type { App } from '../../packages/server/src/app.ts'
import type { Caller } from '../../packages/server/src/identity/index.ts'
import type { Handler } from '../../packages/server/src/kinds/task/index.ts'
import { inProject, type Tx } from '../../packages/server/src/platform/db/index.ts'

/** A handler of a test, with what a test does not care about. */
export const handlerOf = (name: string, run: Handler['run'], more: Partial<Handler> = {}): Handler => ({
  name,
  title: 'A handler of a test.',
  source: 'builtin',
  input: null,
  output: null,
  queue: 'api',
  timeoutMs: 60_000,
  maxAttempts: 1,
  concurrency: null,
  sideEffect: 'none',
  run,
  ...more,
})

export interface Dispatcher {
  readonly project: string
  readonly caller: Caller
  read<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  write<T>(work: (tx: Tx) => Promise<T>): Promise<T>
  submit(...asked: NewTask[]): Promise<Submitted[]>
  dispatch(handler: string, input?: unknown, more?: Partial<NewTask>): Promise<Submitted>
  find(ref: string | number): Promise<TaskDetail>
  /** Once it is settled; fails after 20 s. */
  settled(ref: string | number): Promise<TaskDetail>
}

/** Somebody with a role in a project, `default` unless said, without the way over HTTP. `now` is the clock of the system. */
export async function dispatcherOf(
  app: App,
  person: { id: string; number: number; username: string; role: Role },
  options: { now?: () => number; slug?: string } = {},
): Promise<Dispatcher> {
  const { now = Date.now, slug = 'default' } = options
  const [found] = await app.db.lookup<{ id: string }>('select id from projects where slug = ?1', [slug])
  const project = found!.id
  const caller = (): Caller => ({
    kind: 'user',
    id: person.id,
    number: person.number,
    username: person.username,
    ip: '127.0.0.1',
    userAgent: 'test',
    userId: person.id,
    isInstanceAdmin: false,
    principal: `user:${person.id}`,
    project,
    projectSlug: slug,
    role: person.role,
    scopes: null,
    session: null,
    authentication: null,
    tokenId: null,
    mustChangePassword: false,
    at: now(),
    requestId: 'test',
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: null,
    traceparent: null,
    tracestate: null,
  })
  const read = <T>(work: (tx: Tx) => Promise<T>) => inProject(project, () => app.db.read(work))
  const asked = () => ({ caller: caller(), read })
  const { tasks } = app
  const self: Dispatcher = {
    project,
    get caller() {
      return caller()
    },
    read,
    write: (work) => inProject(project, () => app.db.write(work)),
    async submit(...all) {
      const by = caller()
      const prepared = await Promise.all(all.map((one) => tasks.prepare(by, one)))
      const submitted = await inProject(project, () =>
        app.db.submit(tasks.submit, { caller: by, tasks: prepared, remember: null }),
      )
      return [...submitted]
    },
    async dispatch(handler, input = {}, more = {}) {
      return (await self.submit({ handler, input, ...more }))[0]!
    },
    find: (ref) => tasks.find(asked(), ref),
    async settled(ref) {
      const task = await tasks.wait(asked(), ref, 20_000, new AbortController().signal)
      assert.ok(task.completed_at !== null, `task ${ref} is still ${task.state}`)
      return task
    },
  }
  return self
}
