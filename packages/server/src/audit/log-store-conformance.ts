import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changedTiles, tilePath, verifyLog } from '@writ/tlog'
import { openLogFiles } from './log-files.ts'
import { CHECKPOINT, type LogStore, readLogFile } from './log-store.ts'
import { sha256, verifyEd25519 } from './node-crypto.ts'
import { createSigner } from './signer.ts'

const bytes = (text: string) => new Uint8Array(Buffer.from(text))
const entriesOf = (count: number, from = 0) => Array.from({ length: count }, (_, i) => bytes(`entry ${from + i}`))
const textOf = (given: Uint8Array | null) => given && Buffer.from(given).toString()

/** A place for one log, of which several stores may be opened: by one leader, by a rival, after a crash. */
export interface LogPlace {
  open(): Promise<LogStore>
  /** For the signer, which is no part of the store. */
  readonly keysDir: string
  end(): Promise<void>
}

/** The promises of a store of tiles, whatever keeps them. */
export function exerciseLogStore(name: string, make: () => Promise<LogPlace>, skip: string | false = false): void {
  const check = (title: string, work: (place: LogPlace) => Promise<void>) =>
    test(`${name}: ${title}`, { skip }, async () => {
      const place = await make()
      try {
        await work(place)
      } finally {
        await place.end()
      }
    })

  async function openLog(place: LogPlace) {
    const store = await place.open()
    const files = await openLogFiles({ store, origin: 'example.org/log', hash: sha256 })
    const signer = await createSigner({
      keysDir: place.keysDir,
      origin: 'example.org/log',
      stateFile: `${place.keysDir}/../state.json`,
    })
    return {
      store,
      files,
      signer,
      async publish() {
        const last = await signer.last()
        const consistencyProof = await files.proveFrom(last.size)
        await files.publish(await signer.sign({ ...files.integrated, consistencyProof }))
      },
      async append(count: number) {
        await files.integrate(files.integrated.size, entriesOf(count, files.integrated.size))
        await this.publish()
      },
      verify: () =>
        verifyLog({
          read: (path) => readLogFile(store, path),
          vkeys: [signer.vkey],
          hash: sha256,
          verify: verifyEd25519,
        }),
    }
  }

  check('a log grows in steps, is opened anew in between, and verifies', async (place) => {
    for (const step of [1, 254, 1, 300, 3]) {
      const log = await openLog(place)
      await log.append(step)
      const verdict = await log.verify()
      assert.ok(verdict.ok, JSON.stringify(verdict))
      await log.files.close()
    }
    const log = await openLog(place)
    assert.equal(log.files.published.size, 559)
    // The partial tiles that full ones supersede are gone; their beginnings can still be read.
    const gone = changedTiles(0, 255).map(tilePath)
    for (const path of gone) {
      assert.equal(await log.store.read(path), null, path)
      assert.notEqual(await readLogFile(log.store, path), null, path)
    }
    await log.files.close()
  })

  check('files that are there are met again with the same bytes, and never overwritten with others', async (place) => {
    const store = await place.open()
    const tile = new Map([['tile/0/000.p/1', bytes('a'.repeat(32))]])
    await store.add(tile)
    await store.add(tile)
    const other = new Map([['tile/0/000.p/1', bytes('b'.repeat(32))]])
    await assert.rejects(store.add(other), { code: 'LOG_FORK' })
    assert.equal(textOf(await store.read('tile/0/000.p/1')), 'a'.repeat(32))
    await store.close()
  })

  check(
    'what was integrated and not published is met again after a crash, and another order is refused',
    async (place) => {
      const before = await openLog(place)
      await before.append(10)
      await before.files.integrate(10, entriesOf(5, 10))
      await before.files.close()
      const log = await openLog(place)
      assert.equal(log.files.published.size, 10)
      await assert.rejects(log.files.integrate(10, entriesOf(5, 90)), { code: 'LOG_FORK' })
      await log.append(5)
      assert.equal((await log.verify()).ok, true)
      await log.files.close()
    },
  )

  check('no path but those of a log is read', async (place) => {
    const store = await place.open()
    for (const path of ['../x', 'tile/0/000.p/256', 'keys', '.tmp/a', 'checkpoint.old', 'key-changes/1'])
      assert.equal(await store.read(path), null, path)
    await store.close()
  })

  check('cosigned checkpoints and key changes are replaced as a whole', async (place) => {
    const store = await place.open()
    for (const path of ['checkpoint.cosigned', 'key-changes/000.tlog-proof']) {
      await store.replace(path, 'first')
      await store.replace(path, 'second')
      assert.equal(textOf(await store.read(path)), 'second')
    }
    await store.close()
  })

  check('a leader that lost its place and goes on cannot publish over the new one', async (place) => {
    const old = await openLog(place)
    await old.append(3)
    const fresh = await openLog(place)
    await fresh.append(4)
    // The old leader even holds a signature, made before it was lost.
    const note = textOf(await fresh.store.read(CHECKPOINT))!
    await assert.rejects(old.store.replace(CHECKPOINT, note.replace('\n7\n', '\n6\n')), { code: 'LOG_FORK' })
    assert.equal(textOf(await fresh.store.read(CHECKPOINT)), note)
    await assert.rejects(old.store.replace(CHECKPOINT, 'anything'), { code: 'LOG_FORK' })
    // What is published already may be published again: the answer to the first time was lost.
    await old.store.replace(CHECKPOINT, note)
    await fresh.append(1)
    await old.files.close()
    await fresh.files.close()
  })

  check('a log that retention dropped loses its tiles and keeps its checkpoint', async (place) => {
    const log = await openLog(place)
    await log.append(300)
    const note = textOf(await log.store.read(CHECKPOINT))
    await log.store.dropTiles()
    await log.store.dropTiles()
    assert.equal(await log.store.read('tile/entries/000'), null)
    assert.equal(await log.store.read('tile/0/001.p/44'), null)
    assert.equal(textOf(await log.store.read(CHECKPOINT)), note)
    await log.files.close()
  })

  check('of two first leaders one publishes', async (place) => {
    const [one, two] = [await place.open(), await place.open()]
    assert.deepEqual([await one.read(CHECKPOINT), await two.read(CHECKPOINT)], [null, null])
    await one.replace(CHECKPOINT, 'of the one')
    await assert.rejects(two.replace(CHECKPOINT, 'of the other'), { code: 'LOG_FORK' })
    assert.equal(textOf(await two.read(CHECKPOINT)), 'of the one')
    await one.close()
    await two.close()
  })
}
