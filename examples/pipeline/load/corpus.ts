/** Sentences with the language they are written in. Each is long and ordinary enough for a small model. */
export interface Sample {
  readonly language: string;
  readonly text: string;
}

export const corpus: readonly Sample[] = [
  { language: 'en', text: 'The last train to the coast leaves at nine, and my sister has already bought our tickets.' },
  { language: 'en', text: 'We moved the whole service to another building because the old roof was leaking.' },
  { language: 'de', text: 'Der Bäcker an der Ecke öffnet schon um sechs, deshalb holen wir dort jeden Morgen frische Brötchen.' },
  { language: 'de', text: 'Gestern haben wir den ganzen Nachmittag im Garten gearbeitet und Äpfel gepflückt.' },
  { language: 'fr', text: "Le marché du village ouvre tôt le samedi matin, et l'on y trouve d'excellents fromages de chèvre." },
  { language: 'fr', text: 'Nous avons attendu le bus pendant une heure avant de décider de rentrer à pied.' },
  { language: 'es', text: 'Mi abuela siempre preparaba una sopa de pescado cuando volvíamos de la playa en verano.' },
  { language: 'es', text: 'El ayuntamiento quiere plantar más árboles en las calles del centro de la ciudad.' },
  { language: 'it', text: 'Dopo la pioggia siamo usciti a passeggiare lungo il fiume e abbiamo mangiato un gelato.' },
  { language: 'pt', text: 'As crianças ficaram na varanda a ver os barcos que chegavam ao porto ao fim da tarde.' },
  { language: 'nl', text: 'Wij fietsen elke ochtend langs het kanaal naar ons werk, ook wanneer het hard regent.' },
  { language: 'sv', text: 'På sommaren brukar vi bo i en liten röd stuga vid sjön och fiska abborre varje kväll.' },
  { language: 'da', text: 'Min søster købte en gammel cykel på loppemarkedet, og nu kører hun på den hver eneste dag.' },
  { language: 'fi', text: 'Talvella järvi jäätyy niin paksuksi, että sen yli voi kävellä saareen ilman pelkoa.' },
  { language: 'is', text: 'Við gengum upp á fjallið snemma um morguninn og sáum sólina koma upp yfir jöklinum.' },
  { language: 'pl', text: 'Wczoraj wieczorem zgubiłem klucze do mieszkania, ale sąsiadka znalazła je pod schodami.' },
  { language: 'cs', text: 'Když jsme přijeli do hor, napadlo tolik sněhu, že jsme museli auto nechat dole ve vesnici.' },
  { language: 'sk', text: 'Môj starý otec mal pri dome veľkú záhradu, v ktorej pestoval slivky, hrušky a čerešne.' },
  { language: 'hu', text: 'A nagymamám minden vasárnap friss kenyeret sütött, és az egész ház tele volt az illatával.' },
  { language: 'ro', text: 'În fiecare toamnă mergem la bunici să culegem strugurii și să facem must pentru toată familia.' },
  { language: 'tr', text: 'Sabah erkenden kalkıp deniz kenarında yürüdük, sonra da küçük bir kahvede çay içtik.' },
  { language: 'el', text: 'Το καράβι για το νησί έφυγε με καθυστέρηση, επειδή ο άνεμος ήταν πολύ δυνατός.' },
  { language: 'ru', text: 'Вечером мы сидели на берегу реки, пили горячий чай и рассказывали друг другу старые истории.' },
  { language: 'uk', text: 'Щороку навесні ми їздимо до бабусі в село, щоб допомогти їй посадити картоплю та цибулю.' },
  { language: 'bg', text: 'Вчера времето беше много хубаво и затова решихме да се разходим из планината с децата.' },
  { language: 'he', text: 'בכל יום שישי אנחנו הולכים לשוק לקנות ירקות טריים ולחם חם לארוחת הערב.' },
  { language: 'ar', text: 'ذهبنا في الصباح الباكر إلى السوق القديم واشترينا الخبز والزيتون والفواكه الطازجة.' },
  { language: 'fa', text: 'دیروز با دوستانم به کوه رفتیم و ناهار را کنار رودخانه زیر سایه درختان خوردیم.' },
  { language: 'hi', text: 'हम हर रविवार को अपने दादाजी के साथ नदी के किनारे घूमने जाते हैं और चाय पीते हैं।' },
  { language: 'bn', text: 'বৃষ্টি থামার পর ছেলেমেয়েরা মাঠে খেলতে গেল আর মা তাদের জন্য গরম খিচুড়ি রান্না করলেন।' },
  { language: 'ta', text: 'காலையில் நாங்கள் கடற்கரைக்குச் சென்று மீனவர்கள் வலைகளை இழுப்பதைப் பார்த்தோம்.' },
  { language: 'th', text: 'ทุกเช้าแม่จะไปตลาดเพื่อซื้อผักสดและปลามาทำอาหารให้พวกเรากินก่อนไปโรงเรียน' },
  { language: 'vi', text: 'Mỗi buổi sáng ông tôi thường ra vườn tưới cây rồi ngồi uống trà và đọc báo dưới gốc xoài.' },
  { language: 'ja', text: '昨日は友達と一緒に山に登り、頂上でおにぎりを食べながら景色を楽しみました。' },
  { language: 'ko', text: '어제 저녁에 가족과 함께 강가를 산책하고 나서 따뜻한 국수를 먹었습니다.' },
  { language: 'zh', text: '每天早上我爷爷都会去公园打太极拳，然后在路边的小店里吃一碗热面条。' },
];
