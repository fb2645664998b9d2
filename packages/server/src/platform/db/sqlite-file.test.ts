import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { fileToRead, openToWrite } from './sqlite-file.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'writ-file-'))
after(() => rmSync(folder, { recursive: true, force: true }))

test('where nothing can be written a file is read as it is, and no longer once somebody else writes to it', () => {
  const file = path.join(folder, 'writ.db')
  const write = (statement: string) => {
    const database = new DatabaseSync(file)
    database.exec(`pragma journal_mode = wal; ${statement}`)
    return database
  }
  write('create table t (n); insert into t values (1)').close()
  const source = fileToRead(file, 0, false)
  const database = source.open()
  assert.equal(database.prepare('select n from t').get()?.n, 1)
  source.requireUnchanged()
  const server = write('insert into t values (2)')
  assert.throws(() => source.requireUnchanged(), {
    name: 'SqliteFileRefused',
    message: /writ\.db has changed while it was read: a server was started on it/,
  })
  server.close()
  database.close()
})

test('a file that is none of SQLite, or not there to be read, is refused by its name', () => {
  for (const open of [
    () => fileToRead(path.join(folder, 'gone.db'), 0).open(),
    () => openToWrite(import.meta.filename, 0),
    () => openToWrite(path.join(folder, 'nowhere/writ.db'), 0),
  ])
    assert.throws(open, { name: 'SqliteFileRefused', message: /^The database .* cannot be opened: .+\.$/ })
})
