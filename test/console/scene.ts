/** The console in a real browser against a real server: people with pages of their own, and what must hold on every page. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { after } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { Run, Ticket } from '@writ/api'
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import { buildConsole } from '../../packages/console/build.ts'
import { addAuthenticator, missingChromium, startChromium } from '../servers/chromium.ts'
import { missingBackend } from '../servers/missing-backend.ts'
import { type Person, TestSystem } from '../test-system.ts'

export const skip = missingBackend('Chromium', missingChromium())
export const examples = path.join(import.meta.dirname, '../../examples')

let browser: Promise<Browser> | undefined
after(async () => (await browser)?.close())

let built: Promise<boolean> | undefined

/** A server that serves the console; the bundle is built if nobody has yet. */
export async function startConsole(options: Parameters<typeof TestSystem.start>[0] = {}): Promise<TestSystem> {
  built ??= buildConsole()
  await built
  return TestSystem.start(options)
}

/** A browser's page of its own: cookies, language, theme, size. Whatever breaks in it is kept in `broken`. */
export interface Tab extends AsyncDisposable {
  readonly page: Page
  readonly context: BrowserContext
  readonly broken: string[]
  /** Loads a page of the console: `default/tickets`. */
  open(place: string): Promise<void>
  /** Goes to another page as a link does, without loading anything anew: a quarter of the work. What was shown before is gone then. */
  go(place: string): Promise<void>
  /** At the form, where the page asks for it. */
  signIn(person: Person): Promise<void>
  /** Loads a page as somebody who signed in before: with the cookie of a session, and without the form. */
  openAs(person: Person, place: string): Promise<void>
}

export async function openTab(
  system: TestSystem,
  options: {
    locale?: string
    scheme?: 'light' | 'dark'
    width?: number
    height?: number
    passkey?: boolean
    zone?: string
  } = {},
): Promise<Tab> {
  const { locale = 'en-GB', scheme = 'light', width = 1440, height = 900 } = options
  browser ??= startChromium()
  const context = await (await browser).newContext({
    locale,
    colorScheme: scheme,
    viewport: { width, height },
    reducedMotion: 'reduce',
    // What is as narrow as a phone is touched.
    hasTouch: width < 600,
    timezoneId: options.zone ?? 'Asia/Shanghai',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  const page = await context.newPage()
  // A loaded machine is not taken for a hang.
  page.setDefaultTimeout(30_000)
  const broken: string[] = []
  page.on('pageerror', (error) => broken.push(`${error.message}\n${error.stack ?? ''}`))
  page.on('console', (message) => {
    // Refusals that a page shows are no faults; everything else that the browser complains about is.
    const expected = /Failed to load resource: the server responded with a status of (401|403|404|409|422|503)/
    if (message.type() === 'error' && !expected.test(message.text())) broken.push(message.text())
  })
  if (options.passkey) {
    await addAuthenticator(page)
  }
  // By name: passkeys are not made for an address.
  const base = system.base.replace('127.0.0.1', 'localhost')
  const open = async (place: string) => {
    await page.goto(`${base}/app/${place}`)
  }
  return {
    page,
    context,
    broken,
    open,
    async go(place) {
      const [project, room = ''] = place.split(/[/?]/)
      const [, , wasIn, was = ''] = new URL(page.url()).pathname.split('/')
      // A page that stays the same for another address keeps its elements: no sign that it shows the other one.
      if (project === wasIn && room === was)
        await leaveFor(page, room === 'assets' ? 'default/tickets/new' : `${project}/assets`)
      await leaveFor(page, place)
    },
    async openAs(person, place) {
      await context.addCookies([await sessionOf(system, person)])
      await open(place)
    },
    async signIn(person) {
      if (!page.url().startsWith(base)) await page.goto(`${base}/app/`)
      await page.locator('input[name=username]').fill(person.username)
      await page.locator('input[name=password]').fill(person.password)
      await page.locator('form button[type=submit]').click()
      await page.locator('nav.side').waitFor({ state: 'attached' })
    },
    [Symbol.asyncDispose]: () => context.close(),
  }
}

/** The cookie of a new session. */
async function sessionOf(system: TestSystem, { username, password }: Person) {
  const answer = await system.anonymous.post('/auth/session', { username, password })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  const [name, value] = answer.headers.getSetCookie()[0]!.split(';')[0]!.split('=') as [string, string]
  return { name, value, domain: 'localhost', path: '/', secure: true, httpOnly: true, sameSite: 'Lax' } as const
}

/** Goes to another address as the router does, and waits until nothing is there of the page before. */
async function leaveFor(page: Page, place: string): Promise<void> {
  await page.locator('#content > *').first().waitFor({ state: 'attached' })
  await page.evaluate(`(() => {
    for (const one of document.querySelectorAll('#content > *')) one.dataset.left = ''
    history.pushState(null, '', ${JSON.stringify(`/app/${place}`)})
  })()`)
  await countOf(page.locator('[data-left]'), 0)
  await page.locator('#content > *').first().waitFor({ state: 'attached' })
}

/**
 * Reads until the page says this. What a page shows comes about by itself, so it is never read once: a slow machine reads too
 * early, and a fast one hides it. The failure tells what it said last.
 */
export async function comesTo<T>(read: () => Promise<T>, expected: T, patience = 30_000): Promise<void> {
  const end = performance.now() + patience
  for (;;) {
    const said = await read()
    if (isDeepStrictEqual(said, expected)) return
    if (performance.now() > end) assert.deepEqual(said, expected)
    await new Promise((later) => setTimeout(later, 25))
  }
}

/** Waits until exactly so many are there. */
export const countOf = (what: Locator, expected: number): Promise<void> => comesTo(() => what.count(), expected)

/** Waits until these are the texts, in this order. */
export const textsOf = (what: Locator, expected: readonly string[]): Promise<void> =>
  comesTo<readonly string[]>(() => what.allTextContents(), expected)

/** Waits until the icon of the tab is that of a state, in the colour of the badge beside the heading. */
export async function tabShows(page: Page, state: string): Promise<void> {
  const badge = page.locator(`h1 .state-${state}`)
  await badge.waitFor()
  await page.locator(`link[rel=icon][data-state=${state}]`).waitFor({ state: 'attached' })
  await comesTo(
    () =>
      page.evaluate(`(async () => {
        const icon = new Image()
        icon.src = document.querySelector('link[rel=icon]').href
        await icon.decode()
        const canvas = document.createElement('canvas').getContext('2d')
        canvas.drawImage(icon, 0, 0, 32, 32)
        return 'rgb(' + [...canvas.getImageData(2, 16, 1, 1).data].slice(0, 3).join(', ') + ')'
      })()`),
    await badge.evaluate(
      (of) =>
        (globalThis as unknown as { getComputedStyle(of: unknown): { color: string } }).getComputedStyle(of).color,
    ),
  )
}

/** Waits until nothing on the page is being loaded any more. */
export async function settled(page: Page): Promise<void> {
  const loading = page.locator('[role=status].loading, .whole[role=status], .mantine-Skeleton-root')
  try {
    await loading.first().waitFor({ state: 'detached' })
  } catch (error) {
    // What is awaited says where it stands, and no more.
    const around = await loading.first().evaluate((at) => {
      const { parentElement } = at as unknown as { parentElement: { outerHTML: string } }
      return parentElement.outerHTML.slice(0, 2_000)
    })
    throw new Error(`${page.url()} is still loading: ${around}`, { cause: error })
  }
  await page.evaluate('document.fonts.ready')
}

const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/**
 * What axe-core finds that is serious or critical, in one line each, and what sticks out. A fault that is gone at the next look was
 * a page that was not yet finished; one that stays is told.
 */
export async function faultsOf(page: Page): Promise<string[]> {
  const look = async () => [
    ...(await accessibilityFaults(page)),
    ...((await fits(page)) ? [] : ['wider than the screen']),
    ...((await rowsAreWhole(page)) ? [] : ['a row is lower than what it holds']),
    ...(await cutLabels(page)).map((label) => `cut off at its foot: ${label}`),
    ...(await lowTargets(page)).map((target) => `too low for a finger: ${target}`),
  ]
  let faults = await look()
  for (let i = 0; i < 20 && faults.length > 0; i++) {
    await new Promise((later) => setTimeout(later, 100))
    faults = await look()
  }
  return faults
}

async function accessibilityFaults(page: Page): Promise<string[]> {
  // Not as a script of the page, which its policy forbids, but by the debugger; once for each page that is loaded.
  if (!(await page.evaluate('typeof axe === "object"'))) await page.evaluate(await axe)
  const found = (await page.evaluate(`axe.run(document, {
    resultTypes: ['violations'],
    // What can be no worse than this is left out of the answer below.
    rules: Object.fromEntries(axe._audit.rules.filter(({ impact }) => /^(minor|moderate)$/.test(impact)).map(({ id }) => [id, { enabled: false }])),
  }).then(({ violations }) =>
    violations.filter(({ impact }) => impact === 'serious' || impact === 'critical').flatMap(({ id, nodes }) =>
      nodes.slice(0, 3).map(({ target, failureSummary }) => id + ' at ' + target.join(' ') + ': ' + failureSummary.split('\\n')[1])))`)) as string[]
  return found
}

/** Nothing is wider than the page. */
const fits = async (page: Page): Promise<boolean> =>
  (await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')) as boolean

/** Rows are as high as what stands in them, also where they are cards. */
const rowsAreWhole = async (page: Page): Promise<boolean> =>
  (await page.evaluate(
    `[...document.querySelectorAll('.list-row')].every((row) => row.scrollHeight <= row.clientHeight + 1)`,
  )) as boolean

/** What stands on buttons is whole: no tail of a letter is cut off. */
const cutLabels = async (page: Page): Promise<string[]> =>
  (await page.evaluate(
    `[...document.querySelectorAll('.mantine-Button-label')]
       .filter((one) => one.checkVisibility() && one.scrollHeight > one.clientHeight + 1)
       .map((one) => one.textContent)`,
  )) as string[]

/** What can be pressed in rows of tables and lists is high enough for a finger, where fingers are what there is. */
const lowTargets = async (page: Page): Promise<string[]> =>
  (await page.evaluate(
    `matchMedia('(pointer: coarse)').matches
       ? [...document.querySelectorAll('td button, td .mantine-Button-root, .list-row button, .row > button, .section-head button')]
           .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 40)
           .map((one) => (one.ariaLabel ?? one.textContent) + ', ' + one.getBoundingClientRect().height + ' px')
       : innerWidth < 600 ? ['no touch screen'] : []`,
  )) as string[]

const screenshots = path.join(import.meta.dirname, '../../packages/console/screenshots')

/** Every page in every theme, width and language; otherwise what `lookAt` says. */
const wholeMatrix = process.env.WRIT_SCREENSHOTS === 'all'
/** On CI nobody looks at them, and they take half of the time of these tests. */
const takesPictures = wholeMatrix || !process.env.CI

/** A page: the name of its screenshot, its address, and what is there when it is whole. */
export type Sight = readonly [name: string, place: string, waitFor: string]
export type Look = (name: string) => Promise<void>

interface Shape {
  readonly scheme: 'light' | 'dark'
  readonly width: number
  readonly height: number
  readonly locale: 'en-GB' | 'zh-CN'
}

/**
 * Goes to each page as the admin, in the light theme on a wide screen in English and in the dark one on a phone in Chinese: so each
 * fault is seen by one of them. Takes a screenshot of each: in both themes on the wide screen without loading it again, of every
 * second one also at 1024, where columns are the tightest, and in the light theme on the phone, and sees that it fits at 768; one costs a sixth of a second, and
 * `WRIT_SCREENSHOTS=all` takes all. Answers what is wrong with the pages.
 */
export async function lookAt(
  system: TestSystem,
  sights: readonly Sight[],
  more: {
    before?: (tab: Tab, look: Look) => Promise<void>
    after?: (tab: Tab, look: Look) => Promise<void>
  } = {},
): Promise<string[]> {
  const faults: string[] = []
  const round = async (shape: Shape) => {
    await using tab = await openTab(system, shape)
    const looked = looker(tab.page, shape, faults)
    if (more.before) {
      await tab.open('')
      await more.before(tab, looked)
      await tab.signIn(system.admin)
    } else await tab.openAs(system.admin, 'default/settings/me')
    for (const [name, place, shown] of sights) {
      await tab.go(`default/${place}`)
      await tab.page.locator(shown).first().waitFor()
      await looked(name)
    }
    await more.after?.(tab, looked)
    faults.push(...tab.broken)
  }
  const wide = { scheme: 'light', width: 1440, height: 900, locale: 'en-GB' } as const
  const phone = { scheme: 'dark', width: 390, height: 844, locale: 'zh-CN' } as const
  await Promise.all([round(wide), round(phone)])
  if (wholeMatrix) await Promise.all([round({ ...wide, locale: 'zh-CN' }), round({ ...phone, locale: 'en-GB' })])
  return faults
}

/** Looks at what a page shows: its faults, and its screenshots `<name>-<theme>-<width>-<language>.png`. */
export function looker(page: Page, shape: Shape, faults: string[]): Look {
  const { scheme, width, height, locale } = shape
  let turn = 0
  return async (name) => {
    await settled(page)
    const shoot = async (theme: string, at: number) => {
      if (!takesPictures) return
      // Two frames: themes and widths are heard of by events, and charts are drawn behind them.
      await page.evaluate('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')
      const file = `${name}-${theme}-${at}-${locale.slice(0, 2)}.png`
      await page.screenshot({ path: path.join(screenshots, file), fullPage: true })
    }
    const look = async (theme: string, at: number) => {
      for (const fault of await faultsOf(page)) faults.push(`${name}, ${theme}, ${at}, ${locale}: ${fault}`)
    }
    await look(scheme, width)
    await shoot(scheme, width)
    const other = scheme === 'light' ? 'dark' : 'light'
    turn++
    if (wholeMatrix || width > 1024 || turn % 2 === 0) {
      await page.emulateMedia({ colorScheme: other })
      if (wholeMatrix) await look(other, width)
      await shoot(other, width)
    }
    if (width > 1024) {
      // The last one before rows are cards: a tablet that is held upright, or a page that is zoomed.
      for (const at of [768, 1024]) {
        await page.setViewportSize({ width: at, height })
        // Lists leave out columns when they hear that they are narrower.
        const narrow = await comesTo(() => fits(page), true).catch(() => 'wider than the screen')
        if (narrow) faults.push(`${name}, ${at}, ${locale}: ${narrow}`)
      }
      if (wholeMatrix || turn % 2 === 1) await shoot(other, 1024)
      if (wholeMatrix) {
        await page.emulateMedia({ colorScheme: scheme })
        await shoot(scheme, 1024)
      }
      await page.setViewportSize({ width, height })
    }
    await page.emulateMedia({ colorScheme: scheme })
  }
}

/** Ticket 1 done and sealed, 2 failed, 3 submitted, 4 a draft; by the employee, approved by the admin. */
export async function fill(system: TestSystem): Promise<{ tickets: Ticket[]; runs: Run[] }> {
  const asset = await system.admin.post<{ id: string }>('/assets', {
    name: 'Factory Gateway B',
    asset_type: 'switch',
    serial_number: 'SW-FAC-009',
    location: 'Factory A',
  })
  assert.equal(asset.status, 200, JSON.stringify(asset.body))
  const open = async (title: string, more: object = {}) =>
    (await system.employee.post<Ticket>('/tickets', { title, asset_id: asset.body.id, ...more })).body
  const tickets = [
    await open('安装工厂交换机', { description: '在工厂 A 安装新交换机并上传配置' }),
    await open('Replace the core switch in hall 3', {
      description: 'Window: Sunday, 02:00 to 04:00.\nRollback: the old one stays in the rack.',
    }),
    await open('Move the printers to VLAN 30'),
    await open('Renumber the uplinks', { status: 'draft' }),
  ]
  const runs: Run[] = []
  for (const [ticket, files] of [
    [tickets[0]!, ['access-switch.cfg', 'core-switch.json', 'vlan-plan.yaml']],
    [tickets[1]!, ['broken-switch.json']],
  ] as const) {
    const approved = await system.admin.post(`/tickets/${ticket.number}/approve`, {
      digest: ticket.digest,
      reason: 'window agreed',
    })
    assert.equal(approved.status, 200, JSON.stringify(approved.body))
    const run = await system.employee.post<Run>('/runs', {
      run_type: 'proof',
      ticket_id: ticket.number,
      script_id: 'proof.config_format',
      finalize: 'manual',
    })
    for (const name of files) {
      const bytes = await readFile(path.join(examples, name))
      assert.equal((await system.employee.upload(run.body.number, name, bytes)).status, 200)
    }
    await system.employee.post(`/runs/${run.body.number}/finalize`)
    await system.waitFor(run.body.number)
    runs.push(run.body)
  }
  await system.employee.post('/tickets/1/comments', { body: '机柜 4 已断电' })
  await system.settle()
  return { tickets, runs }
}
