//! Names, towns and streets of several languages and scripts. None of it belongs to anybody: phones are of ranges that
//! their countries keep free for films and books, and where a country keeps none, of the country code 999, which nobody
//! has; mail goes to domains that RFC 2606 reserves.

/// A name as it is written, and in Latin letters, for an address of mail.
pub type Name = (&'static str, &'static str);

pub struct Culture {
    pub country: &'static str,
    pub order: Order,
    /// Given and family names: where these differ by gender, a pair of lists for each.
    pub women: (&'static [Name], &'static [Name]),
    pub men: (&'static [Name], &'static [Name]),
    /// Every # becomes a digit.
    pub phones: &'static [&'static str],
    /// An address: {n} becomes a number of a house.
    pub places: &'static [&'static str],
    /// A host below .example in the own script, for the few addresses that are written so.
    pub host: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    GivenFamily,
    /// With a blank between them.
    FamilyGiven,
    /// As one word.
    Joined,
}

/// A country code that nobody has.
const NOWHERE: &[&str] = &["+999 ## ### ####", "+999 ### ## ## ##"];

const ENGLISH: &[Name] = &[
    ("Smith", "smith"),
    ("O'Connor", "oconnor"),
    ("Taylor", "taylor"),
    ("Okafor", "okafor"),
    ("Patel", "patel"),
    ("Walker", "walker"),
    ("St. John", "stjohn"),
    ("Campbell", "campbell"),
];
const ENGLISH_WOMEN: &[Name] = &[
    ("Olivia", "olivia"),
    ("Grace", "grace"),
    ("Hannah", "hannah"),
    ("Maya", "maya"),
    ("Mary Ann", "maryann"),
    ("Ruth", "ruth"),
];
const ENGLISH_MEN: &[Name] = &[
    ("Jack", "jack"),
    ("Oliver", "oliver"),
    ("Noah", "noah"),
    ("Samuel", "samuel"),
    ("Jean-Luc", "jeanluc"),
    ("Tom", "tom"),
];
const GERMAN: &[Name] = &[
    ("Müller", "mueller"),
    ("Schäfer", "schaefer"),
    ("Groß", "gross"),
    ("Weiß", "weiss"),
    ("von Lindenau", "vonlindenau"),
    ("Köhler", "koehler"),
    ("Huber", "huber"),
];
const FRENCH: &[Name] = &[
    ("Lefèvre", "lefevre"),
    ("Moreau", "moreau"),
    ("d'Arcy", "darcy"),
    ("Benoît", "benoit"),
    ("Garçon", "garcon"),
    ("Dupont-Rivière", "dupontriviere"),
];
const SPANISH: &[Name] = &[
    ("García López", "garcialopez"),
    ("Muñoz Ibáñez", "munozibanez"),
    ("Núñez Peña", "nunezpena"),
    ("Romero Díaz", "romerodiaz"),
    ("Castaño Ruiz", "castanoruiz"),
];
const SWEDISH: &[Name] = &[
    ("Åkesson", "akesson"),
    ("Lindström", "lindstrom"),
    ("Öberg", "oberg"),
    ("Sjögren", "sjogren"),
    ("Nyström", "nystrom"),
];
const TURKISH: &[Name] =
    &[("Yılmaz", "yilmaz"), ("Öztürk", "ozturk"), ("Şahin", "sahin"), ("Çelik", "celik"), ("Güneş", "gunes")];
const ARABIC: &[Name] =
    &[("الحسن", "alhasan"), ("منصور", "mansour"), ("العلي", "alali"), ("خليل", "khalil"), ("النجار", "alnajjar")];
const HINDI: &[Name] =
    &[("शर्मा", "sharma"), ("वर्मा", "verma"), ("गुप्ता", "gupta"), ("मिश्रा", "mishra"), ("जोशी", "joshi")];
const CHINESE: &[Name] =
    &[("王", "wang"), ("李", "li"), ("陳", "chen"), ("張", "zhang"), ("歐陽", "ouyang"), ("林", "lin")];
const JAPANESE: &[Name] = &[
    ("佐藤", "sato"),
    ("鈴木", "suzuki"),
    ("高橋", "takahashi"),
    ("渡辺", "watanabe"),
    ("山本", "yamamoto"),
    ("中村", "nakamura"),
];
const KOREAN: &[Name] = &[("김", "kim"), ("이", "lee"), ("박", "park"), ("최", "choi"), ("정", "jung")];
const VIETNAMESE: &[Name] = &[("Nguyễn", "nguyen"), ("Trần", "tran"), ("Phạm", "pham"), ("Đặng", "dang"), ("Vũ", "vu")];

pub const CULTURES: &[Culture] = &[
    Culture {
        country: "US",
        order: Order::GivenFamily,
        women: (ENGLISH_WOMEN, ENGLISH),
        men: (ENGLISH_MEN, ENGLISH),
        phones: &["+1 212 555 01##", "+1 415 555 01##", "+1 312 555 01##", "+1 505 555 01##"],
        places: &["{n} Cedar Street, Springfield", "{n} Mill Road, Apt. 4, Fairview", "{n} Harbor Avenue, Riverton"],
        host: "mail",
    },
    Culture {
        country: "GB",
        order: Order::GivenFamily,
        women: (ENGLISH_WOMEN, ENGLISH),
        men: (ENGLISH_MEN, ENGLISH),
        phones: &["+44 7700 900###", "+44 20 7946 0###", "+44 161 496 0###"],
        places: &["{n} Rose Lane, Ambridge", "{n} Abbey Close, Felpersham", "Flat 2, {n} King's Walk, Borchester"],
        host: "post",
    },
    Culture {
        country: "AU",
        order: Order::GivenFamily,
        women: (ENGLISH_WOMEN, ENGLISH),
        men: (ENGLISH_MEN, ENGLISH),
        phones: &["+61 2 5550 ####", "+61 3 7010 ####", "+61 7 5550 ####"],
        places: &["{n} Wattle Street, Erinsborough", "{n} Ocean Parade, Summer Bay"],
        host: "mail",
    },
    Culture {
        country: "DE",
        order: Order::GivenFamily,
        women: (
            &[
                ("Zoë", "zoe"),
                ("Jörgina", "joergina"),
                ("Anneliese", "anneliese"),
                ("Käthe", "kaethe"),
                ("Frauke", "frauke"),
            ],
            GERMAN,
        ),
        men: (
            &[
                ("Jürgen", "juergen"),
                ("Söhnke", "soehnke"),
                ("Karl-Heinz", "karlheinz"),
                ("Björn", "bjoern"),
                ("Emil", "emil"),
            ],
            GERMAN,
        ),
        phones: &["+49 30 23125 ###", "+49 89 99998 ###", "+49 40 66969 ###", "+49 221 4710 ###", "+49 69 90009 ###"],
        places: &[
            "Lindenstraße {n}, 99999 Musterstadt",
            "Am Weißen Stein {n}, 99998 Beispielhausen",
            "Größlweg {n} b, 99997 Neudorf",
        ],
        host: "postfächer",
    },
    Culture {
        country: "FR",
        order: Order::GivenFamily,
        women: (&[("Hélène", "helene"), ("Zoé", "zoe"), ("Françoise", "francoise"), ("Maëlle", "maelle")], FRENCH),
        men: (&[("François", "francois"), ("Loïc", "loic"), ("Jean-Noël", "jeannoel"), ("Rémi", "remi")], FRENCH),
        phones: &["+33 6 39 98 ## ##", "+33 1 99 00 ## ##", "+33 4 65 71 ## ##"],
        places: &["{n} rue de l'Église, Villeneuve", "{n} bis, allée des Hêtres, Saint-Exemple"],
        host: "boîte",
    },
    Culture {
        country: "ES",
        order: Order::GivenFamily,
        women: (&[("Lucía", "lucia"), ("Íñiga", "iniga"), ("María José", "mariajose"), ("Begoña", "begona")], SPANISH),
        men: (&[("José", "jose"), ("Íñigo", "inigo"), ("Andrés", "andres"), ("Raúl", "raul")], SPANISH),
        phones: NOWHERE,
        places: &["Calle del Peñón {n}, 2.º A, Villaejemplo", "Plaza Mayor {n}, Aldeanueva"],
        host: "correo-niño",
    },
    Culture {
        country: "SE",
        order: Order::GivenFamily,
        women: (&[("Åsa", "asa"), ("Märta", "marta"), ("Linnéa", "linnea"), ("Elin", "elin")], SWEDISH),
        men: (&[("Göran", "goran"), ("Håkan", "hakan"), ("Åke", "ake"), ("Nils", "nils")], SWEDISH),
        phones: &["+46 70 174 06 5#", "+46 8 465 004 ##", "+46 31 390 06 ##"],
        places: &["Björkvägen {n}, Exempelköping", "Östra Ågatan {n}, Nyby"],
        host: "brevlåda",
    },
    Culture {
        country: "LV",
        order: Order::GivenFamily,
        women: (
            &[("Līga", "liga"), ("Anna", "anna"), ("Zane", "zane"), ("Dzintra", "dzintra")],
            &[("Bērziņa", "berzina"), ("Kalniņa", "kalnina"), ("Ozoliņa", "ozolina"), ("Krūmiņa", "krumina")],
        ),
        men: (
            &[("Jānis", "janis"), ("Pēteris", "peteris"), ("Ģirts", "girts"), ("Kārlis", "karlis")],
            &[("Bērziņš", "berzins"), ("Kalniņš", "kalnins"), ("Ozoliņš", "ozolins"), ("Šķēle", "skele")],
        ),
        phones: NOWHERE,
        places: &["Liepu iela {n}-12, Paraugciems", "Ķiršu iela {n}, Jaunciems"],
        host: "pastkastīte",
    },
    Culture {
        country: "RU",
        order: Order::GivenFamily,
        women: (
            &[("Мария", "maria"), ("Анна", "anna"), ("Ольга", "olga"), ("Ксения", "ksenia"), ("Любовь", "lyubov")],
            &[
                ("Иванова", "ivanova"),
                ("Соловьёва", "solovyova"),
                ("Кузнецова", "kuznetsova"),
                ("Щербакова", "shcherbakova"),
            ],
        ),
        men: (
            &[("Иван", "ivan"), ("Пётр", "pyotr"), ("Сергей", "sergey"), ("Юрий", "yuri"), ("Илья", "ilya")],
            &[("Иванов", "ivanov"), ("Соловьёв", "solovyov"), ("Кузнецов", "kuznetsov"), ("Щербаков", "shcherbakov")],
        ),
        phones: NOWHERE,
        places: &["ул. Садовая, д. {n}, кв. 7, Примерск", "пер. Тихий, д. {n}, Новосёлово"],
        host: "почта",
    },
    Culture {
        country: "KZ",
        order: Order::GivenFamily,
        women: (
            &[("Айгүл", "aigul"), ("Әсел", "asel"), ("Жұлдыз", "zhuldyz"), ("Дана", "dana")],
            &[("Ахметова", "akhmetova"), ("Сұлтанова", "sultanova"), ("Қасымова", "kasymova")],
        ),
        men: (
            &[("Нұрлан", "nurlan"), ("Ержан", "yerzhan"), ("Әлихан", "alikhan"), ("Бауыржан", "bauyrzhan")],
            &[("Ахметов", "akhmetov"), ("Сұлтанов", "sultanov"), ("Қасымов", "kasymov")],
        ),
        phones: NOWHERE,
        places: &["Абай көшесі {n}, 3 пәтер, Үлгі ауылы", "Жібек жолы {n}, Жаңақала"],
        host: "пошта",
    },
    Culture {
        country: "GR",
        order: Order::GivenFamily,
        women: (
            &[("Ελένη", "eleni"), ("Μαρία", "maria"), ("Χρυσούλα", "chrysoula")],
            &[("Παπαδοπούλου", "papadopoulou"), ("Γεωργίου", "georgiou"), ("Νικολαΐδου", "nikolaidou")],
        ),
        men: (
            &[("Γιώργος", "giorgos"), ("Νίκος", "nikos"), ("Χαράλαμπος", "charalampos")],
            &[("Παπαδόπουλος", "papadopoulos"), ("Γεωργίου", "georgiou"), ("Νικολαΐδης", "nikolaidis")],
        ),
        phones: NOWHERE,
        places: &["Οδός Ελιάς {n}, Νέα Πόλη", "Πλατεία Αγοράς {n}, Άνω Χωριό"],
        host: "ταχυδρομείο",
    },
    Culture {
        country: "TR",
        order: Order::GivenFamily,
        women: (&[("Ayşe", "ayse"), ("Gülşen", "gulsen"), ("İpek", "ipek"), ("Çiğdem", "cigdem")], TURKISH),
        men: (&[("İsmail", "ismail"), ("Oğuz", "oguz"), ("Barış", "baris"), ("Şükrü", "sukru")], TURKISH),
        phones: NOWHERE,
        places: &["Çınar Sokağı No: {n}/3, Örnekköy", "Işık Caddesi No: {n}, Yenişehir"],
        host: "örnek-posta",
    },
    Culture {
        country: "EG",
        order: Order::GivenFamily,
        women: (&[("ليلى", "layla"), ("فاطمة", "fatima"), ("مريم", "maryam")], ARABIC),
        men: (&[("أحمد", "ahmad"), ("يوسف", "yusuf"), ("عمر", "omar")], ARABIC),
        phones: NOWHERE,
        places: &["{n} شارع النخيل، المدينة الجديدة", "{n} شارع الورد، القرية"],
        host: "بريد",
    },
    Culture {
        country: "IN",
        order: Order::GivenFamily,
        women: (&[("प्रिया", "priya"), ("अनन्या", "ananya"), ("सीता", "sita")], HINDI),
        men: (&[("अर्जुन", "arjun"), ("राहुल", "rahul"), ("विक्रम", "vikram")], HINDI),
        phones: NOWHERE,
        places: &["{n}, गांधी मार्ग, नयापुर", "मकान {n}, बाज़ार गली, रामपुर"],
        host: "डाक",
    },
    Culture {
        country: "TW",
        order: Order::Joined,
        women: (&[("小美", "xiaomei"), ("雅婷", "yating"), ("淑芬", "shufen")], CHINESE),
        men: (&[("小龍", "xiaolong"), ("志明", "zhiming"), ("建國", "jianguo")], CHINESE),
        phones: NOWHERE,
        places: &["和平路{n}號3樓, 新村", "中山街{n}號, 大湖"],
        host: "郵件",
    },
    Culture {
        country: "JP",
        order: Order::Joined,
        women: (&[("さくら", "sakura"), ("陽子", "yoko"), ("美咲", "misaki")], JAPANESE),
        men: (&[("太郎", "taro"), ("健一", "kenichi"), ("蓮", "ren")], JAPANESE),
        phones: NOWHERE,
        places: &["架空市見本町{n}-5", "緑区新町{n}-2 コーポ花 101"],
        host: "郵便",
    },
    Culture {
        country: "KR",
        order: Order::Joined,
        women: (&[("지은", "jieun"), ("서연", "seoyeon"), ("민지", "minji")], KOREAN),
        men: (&[("민준", "minjun"), ("도윤", "doyun"), ("철수", "cheolsu")], KOREAN),
        phones: NOWHERE,
        places: &["새마을로 {n}, 행복동", "가상시 은하구 별빛길 {n}"],
        host: "우편",
    },
    Culture {
        country: "VN",
        order: Order::FamilyGiven,
        women: (&[("Thị Hương", "thihuong"), ("Ngọc Ánh", "ngocanh"), ("Mỹ Linh", "mylinh")], VIETNAMESE),
        men: (&[("Văn Dũng", "vandung"), ("Đức Anh", "ducanh"), ("Quốc Bảo", "quocbao")], VIETNAMESE),
        phones: NOWHERE,
        places: &["Số {n} đường Hoa Sữa, xã Mẫu", "Ngõ {n}, phố Cổ, phường Mới"],
        host: "thư",
    },
];
