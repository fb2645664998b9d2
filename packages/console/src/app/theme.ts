import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core'

/** The one accent. Everything else that has a colour has it for its state. */
const writ: MantineColorsTuple = [
  '#e6f6f5',
  '#d0ebe9',
  '#a3d6d3',
  '#72c0bb',
  '#4bada8',
  '#33a19b',
  '#1e8f89',
  '#0f7a75',
  '#0b6763',
  '#05524f',
]

/** Surfaces of the dark theme, from text to ground. */
const dark: MantineColorsTuple = [
  '#dfe5e9',
  '#c4cdd3',
  '#a7b2bb',
  '#88939c',
  '#3a434b',
  '#2b333a',
  '#1f252a',
  '#15191d',
  '#111518',
  '#0c0f11',
]

export const theme = createTheme({
  colors: { writ, dark },
  primaryColor: 'writ',
  primaryShade: { light: 8, dark: 8 },
  fontFamily:
    'Inter, "Segoe UI", system-ui, -apple-system, "Noto Sans SC", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace',
  fontSizes: { xs: '12px', sm: '13px', md: '14px', lg: '16px', xl: '20px' },
  lineHeights: { xs: '1.45', sm: '1.5', md: '1.55', lg: '1.5', xl: '1.4' },
  headings: {
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '20px', lineHeight: '28px' },
      h2: { fontSize: '15px', lineHeight: '24px' },
      h3: { fontSize: '13px', lineHeight: '20px' },
    },
  },
  defaultRadius: 6,
  cursorType: 'pointer',
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { size: 'xs' } },
    TextInput: { defaultProps: { size: 'sm' } },
    Modal: { defaultProps: { transitionProps: { duration: 0 }, lockScroll: false } },
    Drawer: { defaultProps: { transitionProps: { duration: 0 }, lockScroll: false } },
    // Otherwise what has the focus in an open menu is an empty box, which is no item of it.
    Menu: { defaultProps: { transitionProps: { duration: 0 }, withInitialFocusPlaceholder: false } },
    Tooltip: { defaultProps: { transitionProps: { duration: 0 }, events: { hover: true, focus: true, touch: false } } },
    Select: { defaultProps: { comboboxProps: { transitionProps: { duration: 0 } } } },
    // The list stays open while one picks, and below it is the button that sends the form.
    TagsInput: { defaultProps: { comboboxProps: { position: 'top', transitionProps: { duration: 0 } } } },
  },
})

// Dimmed text of the library is too pale to read (3.3 : 1 on white); ours has more than 5 : 1 in both themes.
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: { '--mantine-color-dimmed': '#59636b', '--mantine-color-placeholder': '#66707a' },
  dark: {
    '--mantine-color-dimmed': '#a7b2bb',
    '--mantine-color-placeholder': '#8f9aa3',
    '--mantine-color-anchor': '#72c0bb',
  },
})
