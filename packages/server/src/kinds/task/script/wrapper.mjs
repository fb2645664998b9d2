// Runs one script: `node wrapper.mjs <script> <task id> <work dir>`. What it answers is written to output.json.
// The module exports a function `run(context)`, async or not. Exit codes as in wrapper.py.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [script, taskId, workDir] = process.argv.slice(2)
const args = JSON.parse(readFileSync(join(workDir, 'input.json'), 'utf8'))
const outputFile = join(workDir, 'output.json')

const context = {
  taskId,
  args,
  workDir,
  outputFile,
  getArg: (name, otherwise = null) => args[name] ?? otherwise,
  log: (message) => process.stdout.write(`[SCRIPT_LOG] ${message}\n`),
  saveResult: (result) => writeFileSync(outputFile, JSON.stringify(result)),
}

async function main() {
  try {
    const module = await import(pathToFileURL(script).href)
    const run = module.run ?? module.default
    if (typeof run !== 'function') {
      process.stdout.write('The script exports no function run(context)\n')
      return 1
    }
    const result = await run(context)
    if (result !== undefined && result !== null) context.saveResult(result)
    else if (!existsSync(outputFile)) context.saveResult({ status: 'success' })
    return 0
  } catch (error) {
    process.stdout.write(`${error?.stack ?? error}\n`)
    return 2
  }
}

process.exitCode = await main()
