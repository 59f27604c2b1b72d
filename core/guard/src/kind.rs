//! What is looked for: detectors by name, in groups that rules name.

/// A detector of personal data or secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Detector {
    /// Addresses of mail.
    Email,
    /// Telephone numbers.
    Phone,
    /// Numbers of payment cards.
    Card,
    /// International bank account numbers.
    Iban,
    /// Keys of well-known providers, private keys, signed tokens.
    Key,
    /// United States: social security number.
    UsSsn,
    /// United Kingdom: national insurance number.
    UkNino,
    /// Germany: Steuer-Identifikationsnummer.
    DeSteuerId,
    /// France: numéro de sécurité sociale (NIR).
    FrNir,
    /// Spain: DNI and NIE.
    EsDni,
    /// Italy: codice fiscale.
    ItCodiceFiscale,
    /// Netherlands: burgerservicenummer.
    NlBsn,
    /// Poland: PESEL.
    PlPesel,
    /// Belgium: rijksregisternummer.
    BeNumber,
    /// Sweden: personnummer.
    SePersonnummer,
    /// Finland: henkilötunnus.
    FiHetu,
    /// Norway: fødselsnummer.
    NoFodselsnummer,
    /// Switzerland: AHV number.
    ChAhv,
    /// Brazil: CPF.
    BrCpf,
    /// Türkiye: T.C. kimlik numarası.
    TrKimlik,
    /// China: resident identity number.
    CnResidentId,
    /// India: Aadhaar.
    InAadhaar,
}

impl Detector {
    /// How many there are.
    pub const COUNT: usize = 22;

    /// All of them, in the order of their numbers.
    pub const ALL: [Detector; Self::COUNT] = [
        Detector::Email,
        Detector::Phone,
        Detector::Card,
        Detector::Iban,
        Detector::Key,
        Detector::UsSsn,
        Detector::UkNino,
        Detector::DeSteuerId,
        Detector::FrNir,
        Detector::EsDni,
        Detector::ItCodiceFiscale,
        Detector::NlBsn,
        Detector::PlPesel,
        Detector::BeNumber,
        Detector::SePersonnummer,
        Detector::FiHetu,
        Detector::NoFodselsnummer,
        Detector::ChAhv,
        Detector::BrCpf,
        Detector::TrKimlik,
        Detector::CnResidentId,
        Detector::InAadhaar,
    ];

    /// Its name in rules and records.
    pub const fn name(self) -> &'static str {
        match self {
            Detector::Email => "email",
            Detector::Phone => "phone",
            Detector::Card => "card",
            Detector::Iban => "iban",
            Detector::Key => "key",
            Detector::UsSsn => "us_ssn",
            Detector::UkNino => "uk_nino",
            Detector::DeSteuerId => "de_steuer_id",
            Detector::FrNir => "fr_nir",
            Detector::EsDni => "es_dni",
            Detector::ItCodiceFiscale => "it_codice_fiscale",
            Detector::NlBsn => "nl_bsn",
            Detector::PlPesel => "pl_pesel",
            Detector::BeNumber => "be_number",
            Detector::SePersonnummer => "se_personnummer",
            Detector::FiHetu => "fi_hetu",
            Detector::NoFodselsnummer => "no_fodselsnummer",
            Detector::ChAhv => "ch_ahv",
            Detector::BrCpf => "br_cpf",
            Detector::TrKimlik => "tr_kimlik",
            Detector::CnResidentId => "cn_resident_id",
            Detector::InAadhaar => "in_aadhaar",
        }
    }

    /// Those that a name in a rule means: one of them, or the group `national_id`. None for a name that is none.
    pub fn named(name: &str) -> Option<Vec<Detector>> {
        if name == "national_id" {
            return Some(
                Self::ALL.into_iter().filter(|detector| detector.kind() == Kind::NationalId).collect(),
            );
        }
        Self::ALL.into_iter().find(|detector| detector.name() == name).map(|detector| vec![detector])
    }

    /// What its findings are.
    pub const fn kind(self) -> Kind {
        match self {
            Detector::Email => Kind::Email,
            Detector::Phone => Kind::Phone,
            Detector::Card => Kind::Card,
            Detector::Iban => Kind::Iban,
            Detector::Key => Kind::Key,
            _ => Kind::NationalId,
        }
    }
}

/// What a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An address of mail.
    Email,
    /// A telephone number.
    Phone,
    /// A number of a payment card.
    Card,
    /// A bank account.
    Iban,
    /// A key, private key or token.
    Key,
    /// A number that a state gives to a person.
    NationalId,
    /// A word of a list.
    Word,
    /// What a regular expression describes.
    Regex,
    /// What reads like an attempt to take over the model.
    Injection,
    /// More text than allowed.
    Size,
}

impl Kind {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Card => "card",
            Kind::Iban => "iban",
            Kind::Key => "key",
            Kind::NationalId => "national_id",
            Kind::Word => "word",
            Kind::Regex => "regex",
            Kind::Injection => "injection",
            Kind::Size => "size",
        }
    }

    /// The word in its placeholder.
    pub const fn label(self) -> &'static str {
        match self {
            Kind::Email => "EMAIL",
            Kind::Phone => "PHONE",
            Kind::Card => "CARD",
            Kind::Iban => "IBAN",
            Kind::Key => "KEY",
            Kind::NationalId => "ID",
            Kind::Word => "WORD",
            Kind::Regex | Kind::Injection | Kind::Size => "TEXT",
        }
    }
}
