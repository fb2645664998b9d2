// What pages tell a newcomer to type is typed, in its order, by a shell, against a server that is as new as theirs.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { TestSystem } from './test-system.ts'

const run = promisify(execFile)
const root = path.join(import.meta.dirname, '..')
const main = path.join(root, 'packages/cli/src/main.ts')

/** The shell blocks of a page that say `what`, as one script. */
async function scriptOf(page: string, what: RegExp): Promise<string> {
  const text = await readFile(path.join(root, page), 'utf8')
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]!)
  const found = blocks.filter((block) => what.test(block))
  assert.notEqual(found.length, 0, `${page} has no such block`)
  return found.join('')
}

/** Runs a script from the repository, where the examples are; the first command that fails ends it. `home` keeps what it leaves. */
const typed = (script: string, home: string, env: Record<string, string> = {}) =>
  run('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: root,
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_STATE_HOME: home, ...env },
    timeout: 60_000,
  })

/** As curl, but an answer that is a refusal is a failure. */
const strictCurl = 'curl() { command curl --fail-with-body --show-error "$@"; }\n'

for (const page of ['README.md', 'README.zh-CN.md', 'docs/api.md', 'docs/zh-CN/api.md']) {
  test(`what ${page} does with curl can be typed as it stands`, async () => {
    await using system = await TestSystem.start()
    const script = (await scriptOf(page, /^(?:curl|\w+=\$\(curl) /m))
      .replaceAll('http://localhost:8000', system.base)
      .replaceAll('"password":"…"', `"password":"${system.admin.password}"`)
      // Only with a one-time password.
      .replace(/^.*\/auth\/password .*$/m, '')
      // It ends with Ctrl-C.
      .replace(/^curl -sN (.*?)(?: +# .*)?$/m, '(curl -sN --max-time 1 $1 || true)')
      // Answers only when a witness has cosigned.
      .replace(/^.*\/log\/anchor .*$/m, '')
      // Files land where the reader stands.
      .replaceAll('curl -s -OJ ', `curl -s -OJ --output-dir ${system.folder} `)
      .replaceAll('-o events.csv', `-o ${system.folder}/events.csv`)
    const { stdout } = await typed(strictCurl + script, system.folder)
    assert.match(stdout, /"verdict": "passed"/)
    assert.match(stdout, /"ok": true/)
    await system.check()
  })
}

for (const page of ['README.md', 'README.zh-CN.md']) {
  test(`what ${page} does with the command line can be typed as it stands`, async () => {
    await using system = await TestSystem.start()
    // A login needs somebody who types.
    const script = (await scriptOf(page, /^writ proof run /m)).replace(/^writ login .*$/m, '')
    const { stdout } = await typed(`writ() { "${process.execPath}" "${main}" "$@"; }\n${script}`, system.folder, {
      WRIT_URL: system.base,
      WRIT_TOKEN: await system.admin.token(),
      NO_COLOR: '1',
    })
    assert.match(stdout, /Validation passed: 1 artifact\(s\) checked/)
    assert.match(stdout, /^Status +done$/m)
    assert.match(stdout, /^Verified +\d+ entries/m)
    await system.check()
  })
}

for (const page of ['docs/schedules.md', 'docs/zh-CN/schedules.md']) {
  test(`the commands of ${page} can be typed as they stand`, async () => {
    await using system = await TestSystem.start()
    const script = await scriptOf(page, /^writ schedule add /m)
    const { stdout } = await typed(`writ() { "${process.execPath}" "${main}" "$@"; }\n${script}`, system.folder, {
      WRIT_URL: system.base,
      WRIT_TOKEN: await system.admin.token(),
      NO_COLOR: '1',
    })
    assert.match(stdout, /^NEXT$/m)
    assert.match(stdout, /active +nightly/)
    await system.check()
  })
}
