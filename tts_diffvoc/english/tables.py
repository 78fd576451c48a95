"""What abbreviations, units, signs and acronyms are called."""

# Titles stand before a name and never end a sentence; the dot may be missing before a capital.
TITLES = {
    "Mr": "mister", "Mrs": "missus", "Ms": "Ms", "Messrs": "messers", "Prof": "professor", "Gen": "general",
    "Sgt": "sergeant", "Lt": "lieutenant", "Col": "colonel", "Capt": "captain", "Cpl": "corporal", "Rev": "reverend",
    "Hon": "honorable", "Sen": "senator", "Gov": "governor", "Pres": "president", "Maj": "major", "Adm": "admiral",
    "Mt": "mount", "Ft": "fort", "Drs": "doctors", "Supt": "superintendent",
}  # fmt: skip
# These may end a sentence: their dot is kept where a new one begins.
ABBREVIATIONS = {
    "Jr": "junior", "Sr": "senior", "Inc": "incorporated", "Ltd": "limited", "Co": "company", "Corp": "corporation",
    "Bros": "brothers", "Ave": "avenue", "Blvd": "boulevard", "Rd": "road", "Hwy": "highway", "Pkwy": "parkway",
    "Ln": "lane", "Sq": "square", "vs": "versus", "etc": "et cetera", "approx": "approximately", "est": "established",
    "dept": "department", "Dept": "department", "govt": "government", "vol": "volume", "Vol": "volume",
    "fig": "figure", "Fig": "figure", "ch": "chapter", "Ch": "chapter", "sec": "section", "Sec": "section",
    "ed": "edition", "eds": "editors", "min": "minimum", "max": "maximum", "misc": "miscellaneous", "tel": "telephone",
    "Tel": "telephone", "ext": "extension", "Ext": "extension", "apt": "apartment", "Apt": "apartment", "ca": "circa",
    "esq": "esquire", "Esq": "esquire", "cf": "compare", "viz": "namely", "univ": "university", "Univ": "university",
    "assn": "association", "Assn": "association", "intl": "international", "Intl": "international", "incl": "including",
    "excl": "excluding", "hrs": "hours", "hr": "hour", "mins": "minutes", "secs": "seconds", "lbs": "pounds",
    "Ph.D": "P H D", "e.g": "for example", "i.e": "that is", "E.g": "for example", "I.e": "that is", "et al": "et al",
    "Jan": "January", "Feb": "February", "Apr": "April", "Aug": "August", "Sept": "September", "Sep": "September",
    "Oct": "October", "Nov": "November", "Dec": "December", "Tues": "Tuesday", "Wed": "Wednesday",
    "Thurs": "Thursday", "Fri": "Friday", "Ariz": "Arizona", "Calif": "California", "Fla": "Florida",
    "ver": "version", "Rm": "room", "Mon": "Monday", "Mass": "Massachusetts",
}  # fmt: skip
MONTHS = "January February March April May June July August September October November December".split()
# A dot before one of these ends a sentence, even after an abbreviation.
STARTERS = """He She It We They You I The This That These Those There Then But And So In On At If When My His Her Our
Their What Who Why How Let Please After Before""".split()

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"), "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"), "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"), "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₩": ("won", "won", "jeon", "jeon"), "₿": ("bitcoin", "bitcoins", "cent", "cents"),
}  # fmt: skip
CURRENCY_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
SCALES = {"k": "thousand", "K": "thousand", "M": "million", "m": "million", "mn": "million", "B": "billion",
          "bn": "billion", "b": "billion", "T": "trillion", "tn": "trillion"}  # fmt: skip

# Units in the plural.
UNITS = {
    "km": "kilometers", "m": "meters", "cm": "centimeters", "mm": "millimeters", "nm": "nanometers",
    "μm": "micrometers", "mi": "miles", "ft": "feet", "in.": "inches", "yd": "yards", "yds": "yards",
    "kg": "kilograms", "g": "grams", "mg": "milligrams", "μg": "micrograms", "t": "tons", "lb": "pounds",
    "lbs": "pounds", "oz": "ounces", "L": "liters", "l": "liters", "ml": "milliliters", "mL": "milliliters",
    "cl": "centiliters", "dl": "deciliters", "gal": "gallons", "qt": "quarts", "tsp": "teaspoons",
    "tbsp": "tablespoons", "s": "seconds", "sec": "seconds", "secs": "seconds", "ms": "milliseconds",
    "μs": "microseconds", "ns": "nanoseconds", "min": "minutes", "mins": "minutes", "h": "hours", "hr": "hours",
    "hrs": "hours", "yr": "years", "yrs": "years", "wk": "weeks", "wks": "weeks", "°C": "degrees Celsius",
    "°F": "degrees Fahrenheit", "°": "degrees", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz",
    "GHz": "gigahertz", "W": "watts", "kW": "kilowatts", "MW": "megawatts", "GW": "gigawatts",
    "kWh": "kilowatt hours", "V": "volts", "kV": "kilovolts", "mV": "millivolts", "A": "amps", "mA": "milliamps",
    "mAh": "milliamp hours", "kJ": "kilojoules", "kcal": "kilocalories", "Pa": "pascals", "kPa": "kilopascals",
    "hPa": "hectopascals", "psi": "P S I", "dB": "decibels", "kB": "kilobytes", "KB": "kilobytes",
    "MB": "megabytes", "GB": "gigabytes", "TB": "terabytes", "kbps": "kilobits per second",
    "Mbps": "megabits per second", "Gbps": "gigabits per second", "mph": "miles per hour",
    "kph": "kilometers per hour", "rpm": "R P M", "px": "pixels", "dpi": "D P I", "fps": "frames per second",
    "ha": "hectares", "hp": "horsepower", "Ω": "ohms", "kΩ": "kiloohms", "sq ft": "square feet",
    "sq. ft.": "square feet", "sq km": "square kilometers", "sq mi": "square miles", "ppm": "parts per million",
}  # fmt: skip
# The singular of those words of a unit that do not only lose an s.
SINGULAR = {"feet": "foot", "inches": "inch", "Celsius": "Celsius", "S": "S"}
POWERS = {"2": "square ", "3": "cubic "}
PER = {"h": "hour", "hr": "hour", "s": "second", "min": "minute", "mo": "month", "yr": "year", "wk": "week"}

# Acronyms that are read as words, and how these are written.
READ = {
    "NASA": "Nasa", "NATO": "Nato", "UNESCO": "Unesco", "UNICEF": "Unicef", "AIDS": "aids", "OPEC": "Opec",
    "FIFA": "Fifa", "SWAT": "swat", "PIN": "pin", "SIM": "sim", "RAM": "ram", "ROM": "rom", "GIF": "gif",
    "JPEG": "jpeg", "ASCII": "ascii", "SARS": "sars", "MERS": "mers", "CERN": "Cern", "BIOS": "bios", "LAN": "lan",
    "WAN": "wan", "DOS": "doss", "TED": "Ted", "RAID": "raid", "OK": "okay", "COVID": "covid", "ZIP": "zip",
    "VIP": "V I P", "CAPTCHA": "captcha", "NVIDIA": "Nvidia", "ZOOM": "zoom", "VAT": "V A T", "FAQ": "F A Q",
}  # fmt: skip
# Acronyms that could be read as words but are spelt.
SPELT = set(
    """FBI CIA USA UK US EU UN TV AI IT ID HQ CEO CFO CTO DVD CD PC UFO ASAP UCLA IOU DIY GPA API URL USB IRA EPA FAQ
    AKA ATM BBC CBS NBC ABC CNN HBO NBA NFL MLB NHL LA DC NYC HIV DNA RNA MRI CT VIP VAT GDP IRS IBM AMA AOL USSR UAE
    ESPN YMCA NAACP NCAA IEEE HTML HTTP HTTPS USAF USDA AARP ISBN AD BC""".split()
)
# Short words that are written in capitals for emphasis, not as acronyms.
EMPHASIS = set(
    """THE NOT SO DO BIG NEW NO YES ALL NOW YOU AND BUT OUT OFF ARE IS AM WAS WE HE SHE MY YOUR HIS HER OUR ME TO OF IN
    ON AT BY FOR IF OR AS HAS HAD CAN DID GO GOT GET GOD WHO WHY HOW TOO TWO ONE SIX TEN ANY OLD BAD FUN HOT RED SEE SAY
    STOP WIN UP BE HEY OH WOW AN DON LET END DAY WAY OWN SALE MAN""".split()
)  # fmt: skip

KINGS = """Henry Louis Elizabeth George Charles James Edward Richard William Paul Benedict Pius Philip Catherine Peter
Alexander Nicholas Napoleon Ferdinand Frederick Mary Leo Gregory Innocent Urban Clement Wilhelm Christian Gustav Harald
Leopold Ivan Ptolemy Ramses Francis Xavier Margaret Umberto Victor Otto Robert""".split()
NUMBERED = """Chapter Part Book Volume Act Scene Section War Phase Type Class Title Article Stage Level Episode Season
Appendix Figure Table Bowl Mark Grade Element Category Unit Lesson Round""".split()
# Their numbers of three digits are read in two parts.
PLACES = "Room Flight Highway Route Interstate Boeing Apartment Bus Suite Channel room flight route bus suite".split()
# After these, A is the name of the letter.
LABELS = "vitamin plan grade group type class section hepatitis appendix exhibit team part point option an".split()

GREEK = dict(
    zip("αβγδεζηθικλμνξοπρστυφχψω", """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron
    pi rho sigma tau upsilon phi chi psi omega""".split())
)  # fmt: skip

SIGNS = {
    "@": "at", "#": "number", "+": "plus", "=": "equals", "/": "slash", "&": "and", "%": "percent", "‰": "per mille",
    "°": "degrees", "×": "times", "÷": "divided by", "≤": "less than or equal to", "≥": "greater than or equal to",
    "≈": "is about", "±": "plus or minus", "√": "the square root of", "§": "section",
    "©": "copyright", "\\": "backslash", "∞": "infinity", "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen",
    "¢": "cents", "₹": "rupees",
}  # fmt: skip
# What the signs are called in an address.
ADDRESS = {
    ".": "dot", "@": "at", "/": "slash", "-": "dash", "_": "underscore", "?": "question mark", "=": "equals",
    "&": "and", "#": "hash", ":": "colon", "+": "plus", "~": "tilde", "%": "percent",
}  # fmt: skip

# Fixed readings, before any rule.
FIXED = {
    "24/7": "twenty four seven", "9/11": "nine eleven", "50/50": "fifty fifty", "911": "nine one one", "w/o": "without",
    "c/o": "care of", "n/a": "N A", "N/A": "N A", "and/or": "and or", "C++": "C plus plus", "C#": "C sharp",
    "AT&T": "A T and T", "20/20": "twenty twenty", "PhD": "P H D", "Wi-Fi": "wifi", "wi-fi": "wifi", "WiFi": "wifi",
    ".NET": "dot net", "100s": "hundreds", "100's": "hundreds", "1000s": "thousands",
    "macOS": "mac O S", "iOS": "I O S", "LaTeX": "lah tek", "YouTube": "Youtube", "GitHub": "Github",
    "LinkedIn": "Linkedin", "A.D.": "A D", "X-ray": "X ray", "x-ray": "X ray",
}  # fmt: skip
