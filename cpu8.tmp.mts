const root = process.argv[2]!, which = process.argv[3]!, n = Number(process.argv[4] ?? 200)
const { backends } = await import(`${root}/test/backends.ts`)
const { dispatcherOf } = await import(`${root}/test/tasks/dispatch.ts`)
const { test } = await import('node:test')
test('cpu', async () => {
  const backend = backends().find((b: any) => b.name === which)
  const system = await backend.start({ env: { WRIT_SELF_CHECK_MINUTES: '0' } })
  const by = await dispatcherOf(system.app, { ...system.admin, role: 'admin' })
  const batch = Array.from({ length: 100 }, () => ({ handler: 'system.ping', input: {} }))
  const round = async (k: number) => {
    for (let i = 0; i < k; i++) {
      const made = await by.submit(...batch)
      await by.settled(made.at(-1)!.id)
    }
    await system.settle()
  }
  await round(60)
  const per: number[] = []
  for (let r = 0; r < 5; r++) {
    const a = process.cpuUsage()
    await round(n / 5)
    const u = process.cpuUsage(a)
    per.push((u.user + u.system) / (n / 5 * 100))
  }
  per.sort((a, b) => a - b)
  process.stderr.write(`CPU ${root} ${which} median ${per[2]!.toFixed(1)} us/task  (${per.map((x) => x.toFixed(1)).join(' ')})\n`)
  await system[Symbol.asyncDispose]()
})
