//! README.txt in Vietnamese.

use super::Texts;

pub(super) const TEXTS: Texts = Texts {
    code: "vi",
    title: "Dữ liệu CRM của {tenant}",
    as_of: "Tại thời điểm {local} ({zone}), tức {utc} UTC. Những gì xảy ra sau đó không có trong các tệp này.\n",
    request: "Yêu cầu khôi phục {request}, điểm khôi phục {point}.\n",
    files: "\nCÁC TỆP, theo thứ tự cần nhập:\n",
    file: "  {at}. {name} - {records} bản ghi\n",
    missing: "\nCHỈ NHỮNG GÌ BỊ MẤT: thư mục {folder} có các tệp cùng tên, chỉ gồm những bản ghi không còn trong tài khoản của \
              bạn vào lúc {at}:\n",
    no_missing: "\nKHÔNG CÓ BỘ TỆP CHỈ GỒM NHỮNG GÌ BỊ MẤT: không hỏi được tài khoản của bạn còn những gì ({why}).\n",
    import_missing: "
TRƯỚC KHI NHẬP
  - Việc nhập vào CRM chỉ thêm bản ghi, không cập nhật bản ghi đang có. Hãy nhập các tệp trong {folder}: chúng đưa lại những
    gì đã bị xóa và không tạo bản ghi trùng. Bộ đầy đủ là để tra cứu.
",
    import_full: "
TRƯỚC KHI NHẬP
  - Việc nhập vào CRM chỉ thêm bản ghi, không cập nhật bản ghi đang có: những gì vẫn còn sẽ bị trùng.
    Hãy tìm những gì bị mất, giữ lại các dòng đó và chỉ nhập chúng.
",
    how_to: "  - Nhập công ty trước liên hệ, và cả hai trước khách hàng tiềm năng và giao dịch: các bản ghi được liên kết theo tên.
  - Nếu hai công ty hoặc hai người trùng tên, liên kết có thể trỏ nhầm; các cột có tên kết thúc bằng _REF giữ mã (ID) gốc.
  - Nếu từ đó đến nay công ty đã được đổi tên, khi nhập liên hệ sẽ có thêm một công ty thứ hai mang tên cũ, còn giao dịch sẽ
    không có liên kết với công ty: hãy đặt lại tên cũ trước khi nhập, hoặc gộp hai công ty sau khi nhập.
  - Các cột có tên kết thúc bằng _LABEL diễn giải mã ở cột bên cạnh. Khi nhập, những cột không nhận ra sẽ được bỏ qua.
  - Giao dịch có nhiều sản phẩm thì mỗi sản phẩm là một dòng; các dòng của một giao dịch có cùng ID.
  - Các tệp dùng mã UTF-8. Ngày giờ theo múi giờ nêu ở trên.
",
    links: "  - {count} liên kết theo một tên mà nhiều bản ghi cùng có. {file} liệt kê chúng, kèm ID đúng: hãy kiểm tra sau khi \
            nhập.\n",
    links_cut: "  - {count} liên kết như vậy nữa không đủ chỗ trong tệp đó.\n",
    not_in: "
KHÔNG CÓ TRONG CÁC TỆP NÀY
  Hoạt động (cuộc gọi, thư, cuộc họp, công việc), bình luận trong dòng thời gian và lịch sử thay đổi.
",
    worth_knowing: "\nNÊN BIẾT\n",
    guarded: "  - {count} ô bắt đầu giống công thức nên được thêm dấu ' ở đầu để bảng tính không thực thi chúng; {manifest} ghi rõ \
              là những ô nào.\n",
    unreadable: "  - {count} ô không chứa ngày hoặc có/không hợp lệ và được giữ nguyên; {manifest} ghi rõ là những ô nào.\n",
    oversized: "  - {count} ô dài hơn mức bảng tính hiển thị; trong tệp chúng vẫn đầy đủ. {manifest} ghi rõ là những ô nào.\n",
    ambiguous: "  - {count} ô có giá trị chứa chính dấu phân cách: khi nhập, giá trị đó bị hiểu thành hai. {manifest} ghi rõ là \
                những ô nào.\n",
    not_utf8: "  - {count} ô trong cơ sở dữ liệu không phải văn bản đọc được; phần không đọc được hiện là \u{fffd}. {manifest} ghi \
               rõ là những ô nào.\n",
    skipped: "  - {entity}: tài khoản này không có {name}.\n",
};
