/** A search for tickets or assets looks at so many for each page, and finds what stands further on behind the cursor. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Asset, Ticket } from '@writ/api'
import { inProject } from '../../packages/server/src/platform/db/index.ts'
import { ticketSearchFloor } from '../../packages/server/src/tickets/store.ts'
import { backends } from '../backends.ts'
import type { Person, TestSystem } from '../test-system.ts'

type App = TestSystem['app']

interface Page {
  readonly items: readonly { readonly number: number }[]
  readonly next_cursor: string | null
}

/** As if so many others had been opened, or added. */
async function skipNumbers(app: App, of: 'tickets' | 'assets', many: number): Promise<void> {
  const project = await defaultProject(app)
  await inProject(project, () =>
    app.db.write((tx) =>
      tx.sql('update counters set value = value + ?3 where project_id = ?1 and name = ?2', [project, of, many]),
    ),
  )
}

async function defaultProject(app: App): Promise<string> {
  const [project] = await app.db.lookup<{ id: string }>("select id from projects where slug = 'default'", [])
  return project!.id
}

/** The numbers on each page of a list, to its end. */
async function pagesOf(person: Person, list: string): Promise<number[][]> {
  const pages: number[][] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { body: Page } = await person.get<Page>(`${list}&cursor=${encodeURIComponent(cursor)}`)
    pages.push(page.body.items.map(({ number }) => number))
    cursor = page.body.next_cursor
  }
  return pages
}

for (const backend of backends()) {
  test(`${backend.name}: a word that is rare is looked for among 20,000 tickets at a time`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin, app } = system
    const open = async (title: string) => (await admin.post<Ticket>('/tickets', { title })).body.number
    const old = await open('replace the Oberon switch')
    await skipNumbers(app, 'tickets', 45_000)
    const young = await open('oberon again')
    await open('something else')

    const list = await admin.get<Ticket[]>('/tickets?q=OBERON')
    assert.deepEqual(
      list.body.map(({ number }) => number),
      [young],
    )
    assert.equal(list.headers.get('x-total-count'), '1')
    assert.deepEqual(await pagesOf(admin, '/tickets?q=oberon'), [[young], [], [old]])
    const floor = await inProject(await defaultProject(app), () =>
      app.db.read((tx) => ticketSearchFloor(tx, undefined)),
    )
    assert.equal(floor, young + 1 - 20_000)
  })

  test(`${backend.name}: an asset is looked for among 20,000 at a time, and what is new without a cursor`, {
    skip: backend.skip,
  }, async () => {
    await using system = await backend.start()
    const { admin, app } = system
    const add = async (name: string) => (await admin.post<Asset>('/assets', { name, asset_type: 'switch' })).body.number
    const old = await add('Oberon')
    await skipNumbers(app, 'assets', 45_000)
    const young = await add('oberon again')
    await add('something else')
    const list = await admin.get<Asset[]>('/assets?q=OBERON')
    assert.deepEqual(
      list.body.map(({ number }) => number),
      [young],
    )
    assert.equal(list.headers.get('x-total-count'), '1')
    assert.deepEqual(await pagesOf(admin, '/assets?q=oberon'), [[old], [], [young]])
    assert.equal((await admin.get<Asset[]>('/assets')).body.length, 3)
  })
}
