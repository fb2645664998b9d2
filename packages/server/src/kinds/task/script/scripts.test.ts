import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { missingBackend } from '../../../../../../test/servers/missing-backend.ts'
import { TaskError } from '../handler.ts'
import { openSandbox, type Sandbox, type Tier } from './sandbox.ts'
import { createScripts, type Scripts } from './scripts.ts'

const files: Record<string, string> = {
  'answer.py':
    'def run(context):\n    context.log("hello")\n    return {"name": context.get_arg("name"), "id": context.task_id}\n',
  'later.py': 'import asyncio\nasync def run(context):\n    await asyncio.sleep(0)\n    return [1, 2]\n',
  'nothing.py': 'def run(context):\n    return None\n',
  'falsy.py': 'def run(context):\n    return 0\n',
  'raises.py': 'def run(context):\n    raise ValueError("no such VLAN")\n',
  'no_run.py': 'x = 1\n',
  'endless.py': 'import subprocess\ndef run(context):\n    subprocess.run(["sleep", "600"])\n',
  'leaves.py':
    'import subprocess\ndef run(context):\n    subprocess.Popen(["sleep", "20"], start_new_session=True)\n    return "left"\n',
  'environment.py': 'import os\ndef run(context):\n    return dict(os.environ)\n',
  'reads.py': 'def run(context):\n    return open(context.get_arg("path")).read()\n',
  'dials.py':
    'import socket\ndef run(context):\n    socket.create_connection(("127.0.0.1", context.get_arg("port")), 2)\n    return "connected"\n',
  'ids.py': 'def run(context):\n    return {"order": {"id": 12345678901234567890}}\n',
  'link.py': 'import os\ndef run(context):\n    os.symlink("/etc/passwd", context.output_file)\n',
  'typed.ts':
    'export async function run(context: { args: { n: number } }) {\n  return { twice: context.args.n * 2 }\n}\n',
  'breaks.mjs': 'export function run() { throw new Error("port 1/0/7 is down") }\n',
}

for (const tier of ['bubblewrap', 'process'] as const satisfies Tier[]) {
  const opened: Sandbox | Error = await openSandbox(tier).catch((error: Error) => error)
  const skip = missingBackend(`scripts in ${tier}`, opened instanceof Error ? opened.message : undefined)
  describe(`scripts in ${tier}`, { skip }, () => {
    let folder: string
    let scripts: Scripts
    const started = new AbortController()

    before(async () => {
      // Not in a folder that only we may enter: the process tier is another user.
      folder = await mkdtemp(path.join(tmpdir(), 'writ-scripts-'))
      const dir = path.join(folder, 'scripts')
      await mkdir(dir, { recursive: true })
      for (const [name, text] of Object.entries(files)) await writeFile(path.join(dir, name), text)
      await writeFile(path.join(folder, 'evil.py'), files['nothing.py']!)
      await symlink(path.join(folder, 'evil.py'), path.join(dir, 'linked.py'))
      await chmod(folder, 0o755)
      const settings = { dir, timeoutSeconds: 20, concurrent: 2, network: false }
      scripts = createScripts(settings, opened as Sandbox)
    })
    after(() => rm(folder, { recursive: true, force: true }))

    const run = async (name: string, args: Record<string, unknown> = {}, signal = started.signal) => {
      const lines: string[] = []
      const result = await scripts.run(name, args, { taskId: 'task-1', signal, log: (line) => lines.push(line) })
      return { result, lines }
    }
    const refused = (code: string, message: RegExp) => (error: unknown) => {
      assert.ok(error instanceof TaskError, String(error))
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    }

    test('answers what the script returned, and logs what it said', async () => {
      const { result, lines } = await run('answer', { name: '王力' })
      assert.deepEqual(result, { name: '王力', id: 'task-1' })
      assert.deepEqual(lines, ['--- Script answer started ---', '[SCRIPT_LOG] hello', '--- Script answer finished ---'])
    })

    test('says which bytes it will run and in what, and runs no others', async () => {
      const file = path.join(folder, 'scripts', 'deploys.py')
      await writeFile(file, files['falsy.py']!)
      const intent = await scripts.intent('deploys')
      assert.deepEqual(intent, {
        script: 'deploys.py',
        sha256: hash('sha256', files['falsy.py']!, 'hex'),
        sandbox: tier,
        network: tier === 'process',
      })
      const on = { taskId: 't', signal: started.signal, log: () => {}, intent }
      assert.equal(await scripts.run('deploys', {}, on), 0)
      await writeFile(file, files['nothing.py']!)
      await assert.rejects(scripts.run('deploys', {}, on), refused('SCRIPT_CHANGED', /^The script deploys was changed/))
      for (const name of ['evil', '../evil', 'linked', '']) assert.equal(await scripts.intent(name), null)
      await rm(file)
    })

    test('an async script, a falsy result, and none', async () => {
      assert.deepEqual((await run('later')).result, [1, 2])
      assert.equal((await run('falsy')).result, 0)
      assert.deepEqual((await run('nothing')).result, { status: 'success' })
    })

    test('P42: a script that raises fails with its log', () =>
      assert.rejects(run('raises'), refused('SCRIPT_FAILED', /^Script execution failed: .*ValueError: no such VLAN/s)))

    test('a script without run(context) fails, and says so', () =>
      assert.rejects(run('no_run'), refused('SCRIPT_FAILED', /has no function run\(context\)/)))

    test('P43: a name is a file of the folder, never a path or a link out of it', async () => {
      for (const name of ['../evil', 'a/b', '.hidden', 'evil.py', ''])
        await assert.rejects(run(name), refused('SCRIPT_NAME_INVALID', /letters, digits/))
      await assert.rejects(run('echo.py'), refused('SCRIPT_NAME_INVALID', /that of echo\.py is echo$/))
      await assert.rejects(run('linked'), refused('SCRIPT_NAME_INVALID', /link out of the folder/))
      await assert.rejects(run('evil'), refused('SCRIPT_UNKNOWN', /no script evil/))
      assert.ok(!(await scripts.list()).includes('evil'))
    })

    test('P42: a script that takes too long is killed with all that it started', async () => {
      const short = createScripts(
        { dir: path.join(folder, 'scripts'), timeoutSeconds: 1, concurrent: 1, network: false },
        opened as Sandbox,
      )
      await assert.rejects(
        short.run('endless', {}, { taskId: 't', signal: started.signal, log: () => {} }),
        refused('SCRIPT_TIMEOUT', /^Script timed out after 1s$/),
      )
    })

    test('a cancelled task kills its script', async () => {
      const cancel = new AbortController()
      const running = scripts.run(
        'endless',
        {},
        {
          taskId: 't',
          signal: cancel.signal,
          log: () => cancel.abort(new Error('cancelled')),
        },
      )
      await assert.rejects(running, /cancelled/)
    })

    test('one that is cancelled while it is begun is gone, at whatever moment', { timeout: 60_000 }, async () => {
      for (let at = 0; at < 16; at += 0.2) {
        const cancel = new AbortController()
        const spawns = Promise.withResolvers<void>()
        const running = scripts.run('endless', {}, { taskId: 't', signal: cancel.signal, log: () => spawns.resolve() })
        running.catch(() => {})
        await spawns.promise
        const end = performance.now() + at
        while (performance.now() < end) await new Promise((turn) => setImmediate(turn))
        cancel.abort(new Error('cancelled'))
        // Whoever is left would hold its output open, and this would never end.
        await assert.rejects(running, /cancelled/)
      }
    })

    test('what it leaves in a session of its own is not waited for', async () => {
      const began = performance.now()
      assert.equal((await run('leaves')).result, 'left')
      assert.ok(performance.now() - began < 15_000, 'before that ends')
    })

    test('sees nothing of our environment', async () => {
      process.env.WRIT_TEST_CANARY = 'canary'
      try {
        const environment = (await run('environment')).result as Record<string, string>
        assert.ok(!Object.values(environment).includes('canary'))
        assert.equal(environment.WRIT_TEST_CANARY, undefined)
      } finally {
        delete process.env.WRIT_TEST_CANARY
      }
    })

    test('cannot read what is not for it', async () => {
      const secret = path.join(folder, 'secret')
      await writeFile(secret, 'the key', { mode: 0o600 })
      await assert.rejects(run('reads', { path: secret }), refused('SCRIPT_FAILED', /(No such file|Permission denied)/))
    })

    test('a number that would be kept as another is no result', () =>
      assert.rejects(run('ids'), refused('SCRIPT_RESULT_INVALID', /^The number at result\.order\.id would not keep/)))

    test('a link that it leaves as its result is not followed', () =>
      assert.rejects(run('link'), refused('SCRIPT_RESULT_INVALID', /no file of at most/)))

    if (tier === 'bubblewrap') {
      test('has no network unless it is allowed', async () => {
        const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
        await new Promise((listening) => server.once('listening', listening))
        const { port } = server.address() as { port: number }
        try {
          await assert.rejects(run('dials', { port }), refused('SCRIPT_FAILED', /(Connection refused|unreachable)/))
          const settings = { dir: path.join(folder, 'scripts'), timeoutSeconds: 20, concurrent: 1, network: true }
          const open = createScripts(settings, opened as Sandbox)
          const on = { taskId: 't', signal: started.signal, log: () => {} }
          assert.equal(await open.run('dials', { port }, on), 'connected')
        } finally {
          server.close()
        }
      })

      test('TypeScript and JavaScript run too', async () => {
        assert.deepEqual((await run('typed', { n: 21 })).result, { twice: 42 })
        await assert.rejects(run('breaks'), refused('SCRIPT_FAILED', /port 1\/0\/7 is down/))
      })
    }
  })
}
