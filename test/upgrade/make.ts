/**
 * Keeps what a version of Writ leaves behind, for those that come after it: `node test/upgrade/make.ts CHECKOUT NAME` runs the server of
 * a checkout in which `npm ci` was done, on SQLite and on PostgreSQL, fills it, and writes `earlier/NAME.<dialect>.tgz`.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { startPostgres } from '../servers/postgres.ts'
import { prepareWrit } from '../servers/writ.ts'
import { fill, show } from './fill.ts'

const [checkout, name] = process.argv.slice(2)
if (!checkout || !name) throw new Error('usage: node test/upgrade/make.ts CHECKOUT NAME')
const main = ['main.js', 'main.ts'].map((file) => path.resolve(checkout, 'packages/server/src', file)).find(existsSync)!

for (const dialect of ['sqlite', 'postgres'] as const) {
  const folder = mkdtempSync(path.join(tmpdir(), 'writ-earlier-'))
  const postgres = dialect === 'postgres' ? await startPostgres() : undefined
  const writ = await prepareWrit({
    folder,
    ...(postgres ? { databaseUrl: postgres.url } : {}),
    wrap: ([node]) => [node!, main],
  })
  await writ.start()
  await writ.login()
  const filled = await fill(writ)
  writeFileSync(path.join(folder, 'shown.json'), JSON.stringify({ ...filled, ...(await show(writ)) }))
  await writ.stop()
  if (postgres)
    writeFileSync(path.join(folder, 'dump.sql'), execFileSync('pg_dump', ['--no-owner', '--dbname', postgres.url]))
  await postgres?.stop()
  const what = ['data', 'shown.json', ...(postgres ? ['dump.sql'] : [])]
  execFileSync('tar', [
    '-czf',
    path.join(import.meta.dirname, 'earlier', `${name}.${dialect}.tgz`),
    '-C',
    folder,
    ...what,
  ])
  rmSync(folder, { recursive: true })
}
