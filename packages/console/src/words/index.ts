import i18next from 'i18next'
import { initReactI18next } from 'react-i18next'
import { preferences } from '../app/page-settings.ts'
import { patient } from '../app/patient.ts'
import type { en } from './en.ts'
import type { enMore } from './en-more.ts'
import { type FoundWords, inWords } from './found.ts'

export const languages = { en: 'English', 'zh-CN': '简体中文' } as const

declare module 'i18next' {
  interface CustomTypeOptions {
    resources: { translation: typeof en & typeof enMore }
    returnNull: false
  }
}

const load: Readonly<Record<string, () => Promise<object>>> = {
  en: async () => (await import('./en.ts')).en,
  'zh-CN': async () => (await import('./zh-cn.ts')).zhCn,
}
const loadMore: Readonly<Record<string, () => Promise<object>>> = {
  en: async () => (await import('./en-more.ts')).enMore,
  'zh-CN': async () => (await import('./zh-cn-more.ts')).zhCnMore,
}

// What checks, refusals and endings say is English as it is.
const loadFound: Readonly<Record<string, () => Promise<FoundWords>>> = {
  'zh-CN': async () => {
    const [{ refusedZhCn }, { foundZhCn }, { endedZhCn }, { verifiedZhCn }] = await Promise.all([
      import('./refused-zh-cn.ts'),
      import('./found-zh-cn.ts'),
      import('./ended-zh-cn.ts'),
      import('./verified-zh-cn.ts'),
    ])
    return [...refusedZhCn, ...foundZhCn, ...endedZhCn, ...verifiedZhCn]
  },
}
const foundIn = new Map<string, FoundWords>()

// Languages that have all their words, and whether a page has asked for all.
const whole = new Set<string>()
let wantsMore = false

async function addMore(code: string): Promise<void> {
  if (whole.has(code)) return
  const [more, found] = await Promise.all([loadMore[code]?.(), loadFound[code]?.()])
  i18next.addResourceBundle(code, 'translation', more, true)
  if (found) foundIn.set(code, found)
  whole.add(code)
}

/** Whatever is loaded here needs the words that the first look leaves out: `withWords(() => import('../pages/insight.tsx'))`. */
export async function withWords<T>(module: () => Promise<T>): Promise<T> {
  wantsMore = true
  const [loaded] = await Promise.all([patient(module), patient(() => addMore(i18next.language))])
  return loaded
}

/** What a check or the server said, in the language of the page: why it refused, how a task ended, what it found in a log. */
export const sayFound = (text: string): string => inWords(text, foundIn.get(i18next.language) ?? [])

/** Changes the language of the page, and remembers it in this browser. Words of the other one are not loaded. */
export async function speak(code: string, remember = true): Promise<void> {
  if (!i18next.hasResourceBundle(code, 'translation'))
    i18next.addResourceBundle(code, 'translation', await load[code]?.())
  if (wantsMore) await addMore(code)
  await i18next.changeLanguage(code)
  document.documentElement.lang = code
  if (remember) preferences.set('language', code)
}

/** The language of this browser: the one that was chosen, or the first of its own that we have. */
export async function openWords(): Promise<void> {
  await i18next
    .use(initReactI18next)
    .init({ resources: {}, lng: 'en', fallbackLng: false, interpolation: { escapeValue: false } })
  const wanted =
    [preferences.get('language'), ...navigator.languages].find((one) => one && /^(en|zh)/i.test(one)) ?? 'en'
  await speak(wanted.toLowerCase().startsWith('zh') ? 'zh-CN' : 'en', false)
}
